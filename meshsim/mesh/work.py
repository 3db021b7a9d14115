"""What replicas are told to do: the work of each endpoint of a service, and the script it runs."""

from __future__ import annotations

from typing import final

from meshsim.random import Distribution

# when_abandoned
FINISH = 0
LEAVE_QUEUE = 1
STOP = 2


@final
class ScriptStep:
    """One step of a script: a call, or a sleep.

    Attributes:
        route: number of a call's route; -1 for a sleep.
        repeat: how many times, one after the other.
        probability: how often the call is made at all.
        optional: whether its failure matters not.
        sleep: how long; None for a call.
    """

    def __init__(
        self, route: int, repeat: int, probability: float, optional: bool, sleep: Distribution | None
    ) -> None:
        self.route = route
        self.repeat = repeat
        self.probability = probability
        self.optional = optional
        self.sleep = sleep


@final
class Work:
    """What a replica does for a request to one endpoint.

    Attributes:
        time: of the replica's own work.
        error_ratio: own failures.
        stages: of the script, each a list of steps that start together.
    """

    def __init__(self, time: Distribution, error_ratio: float, stages: list[list[ScriptStep]]) -> None:
        self.time = time
        self.error_ratio = error_ratio
        self.stages = stages


@final
class Workload:
    """How the replicas of one version work.

    Attributes:
        workers, room: served at once, and waiting, per replica.
        holds_worker: whether the worker is held while the script runs.
        when_abandoned: FINISH, LEAVE_QUEUE or STOP.
        keep_alive: how long an idle connection's end here is kept, s; 0 is for ever.
        works: by number of the endpoint; 0 is the service itself, for requests that name none.
    """

    def __init__(
        self, workers: int, room: int, holds_worker: bool, when_abandoned: int, keep_alive: float, works:
        list[Work],
    ) -> None:  # fmt: skip
        self.workers = workers
        self.room = room
        self.holds_worker = holds_worker
        self.when_abandoned = when_abandoned
        self.keep_alive = keep_alive
        self.works = works
