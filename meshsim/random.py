"""Counter-based keyed draws: the same numbers in every engine, in any order of execution.

A draw is a pure function of a 64-bit *key* and a *purpose*. Keys form a tree: the seed's children are the
loads, theirs the requests, theirs the attempts, theirs the child calls. So no draw depends on what else was
drawn before: all engines and the live services see the same service time for the same attempt, and a changed
policy does not shift the arrivals (common random numbers).

The mixer is splitmix64's finaliser. Children and draws step by two different odd constants, so that a child's
key is never the bits of a draw (for tags below 2^41 and purposes below 200,000). A distribution that needs
several uniforms takes the bits of its own draw as their key. Normals come from one each.

Sources:
    Steele, Lea and Flood, Fast Splittable Pseudorandom Number Generators, OOPSLA 2014 (the mixer: Stafford's
    variant 13). Wichura, AS 241, Applied Statistics 37 (1988). Marsaglia and Tsang, ACM TOMS 26 (2000).
"""

from __future__ import annotations

from math import exp, fabs, gamma, log, log1p, pow, sqrt
from typing import final

Key = int  # of 64 bits, unsigned

MASK: Key = 0xFFFFFFFFFFFFFFFF
STEP_DRAW: Key = 0x9E3779B97F4A7C15  # odd part of 2^64 / golden ratio
STEP_CHILD: Key = 0xD1B54A32D192ED03  # odd, unrelated to the one above
MULTIPLY_1: Key = 0xBF58476D1CE4E5B9
MULTIPLY_2: Key = 0x94D049BB133111EB

# What a draw is for. Numbers are part of the result (they choose the bits): never renumber, only add.
GAP = 0  # of a load: (load, n) the gap before its n-th arrival
THINK = 1  # of a user: (load, user, n) the pause before the n-th request
STATE = 2  # of a load: (load, n) the n-th stay in an MMPP state
PROXY_OUT = 3  # of a call: the request's pass through its caller's sidecar
PROXY_BACK = 4  # of a call: the response's pass through its caller's sidecar
FAULT_DELAY = 5  # of a call: whether a delay is injected
FAULT_TIME = 6  # of a call: how long it is
FAULT_ABORT = 7  # of a call: whether it is aborted
ROUTE = 8  # of a call: which version the split sends it to
TAKEN = 9  # of a call: whether its `probability` lets it happen
SLEEP = 10  # of a script step: how long it sleeps
BACKOFF = 11  # of an attempt: the wait before it
LINK_OUT = 12  # of an attempt: latency to the upstream
LINK_BACK = 13  # of an attempt: latency of the response
LINK_NOTICE = 14  # of an attempt: latency of the notice that its caller gave up
PROXY_IN = 15  # of an attempt: the request's pass through the upstream's sidecar
PROXY_RESPONSE = 16  # of an attempt: the response's pass through the upstream's sidecar
SERVICE = 17  # of an attempt: the replica's own time
ERROR = 18  # of an attempt: whether the replica fails by itself
START = 19  # of a proxy: where round robin begins
PUSH = 20  # of a configuration that is made for a proxy: how long it takes to reach it
SAMPLE = 21  # of a request: whether its spans are kept
ENDPOINT = 22  # of a request: which endpoint of a load's it asks for
CONNECT = 23  # of a connection: how long it takes to open
LINK_CLOSE = 24  # of a connection: latency of the word that the upstream has closed it
PENALTY = 25  # of an attempt: what is added to the penalty of the host that it has shut
RENEW = 26  # of a certificate: when its renewal begins
SIGN = 27  # of a certificate: how long the CA works on it
CA_RETRY = 28  # of a certificate: (certificate, r) the wait after the r-th refusal, from 1
HANDSHAKE_OUT = 29  # of a connection: latency of a handshake's messages to the upstream
HANDSHAKE_BACK = 30  # of a connection: latency of those back
HANDSHAKE_IN = 31  # of a connection: the handshake's pass through the upstream's sidecar
HANDSHAKE = 32  # of a connection: the handshake's pass through the caller's sidecar
GENERATE = 33  # of a configuration: how long the control plane takes to make it
PUSH_ROUTES = 34  # of a configuration: how long its routes take, where they travel apart
BALANCE = 64  # of an attempt: the balancer's i-th choice is BALANCE + i
LOSS_OUT = 1 << 16  # of an attempt: whether its n-th transmission is lost is LOSS_OUT + n
LOSS_BACK = 1 << 17  # of an attempt: whether the response's n-th transmission is lost
TERM = 150_000  # of a sum's own key: its i-th term; no other compound distribution comes so far

# Tags of children that are not simply numbered
SCRIPT = 1000  # the call or sleep at flat index i of a script is child SCRIPT + i of its attempt
PROXIES = 1 << 32  # the proxies are the children of this child of the seed
REPEAT = 1 << 33  # the r-th repetition of a call step, from 1, is child REPEAT + r of the step's key
CONNECTIONS = 1 << 34  # the connections of a proxy come from the child CONNECTIONS of its key
REPICK = 1 << 35  # of an attempt: its n-th choice of another host draws from child REPICK + n
CERTIFICATES = 1 << 36  # the certificates of a proxy come from the child CERTIFICATES of its key
PUSHES = 1 << 37  # the configurations that are made for a proxy are children of the child PUSHES of its key


def mix(z: Key) -> Key:
    """Splitmix64's finaliser: a bijection of 64 bits in which every input bit moves every output bit."""
    z = ((z ^ (z >> 30)) * MULTIPLY_1) & MASK
    z = ((z ^ (z >> 27)) * MULTIPLY_2) & MASK
    return z ^ (z >> 31)


def derive(key: Key, tag: int) -> Key:
    """The key of a child of `key`, distinguished from its siblings by `tag` (at least 0)."""
    return mix((key + (tag + 1) * STEP_CHILD) & MASK)


def u01(key: Key, purpose: int) -> float:
    """A uniform on [0, 1) with 53 random bits, for one purpose of one key."""
    return (mix((key + (purpose + 1) * STEP_DRAW) & MASK) >> 11) * 1.1102230246251565e-16


def bits(key: Key, purpose: int) -> Key:
    """The 64 random bits for one purpose of one key: the key of all the draws of a compound distribution."""
    return mix((key + (purpose + 1) * STEP_DRAW) & MASK)


def normal(key: Key, purpose: int) -> float:
    """A standard normal, by inversion of one uniform.

    NOTE: 52 bits and half a step, which is exact. With 53 the largest would round to 1: an infinite quantile.
    """
    u = (mix((key + (purpose + 1) * STEP_DRAW) & MASK) >> 12) * 2.220446049250313e-16
    return normal_quantile(u + 1.1102230246251565e-16)


def normal_quantile(p: float) -> float:
    """The standard normal's quantile at p in (0, 1), to a relative error of about 1e-15.

    Source: Wichura, AS 241 (routine PPND16).
    """
    q = p - 0.5
    if fabs(q) <= 0.425:
        r = 0.180625 - q * q
        top = 2509.0809287301226727
        top = (top * r + 33430.575583588128105) * r + 67265.770927008700853
        top = (top * r + 45921.953931549871457) * r + 13731.693765509461125
        top = (top * r + 1971.5909503065514427) * r + 133.14166789178437745
        top = top * r + 3.387132872796366608
        low = 5226.495278852545925
        low = (low * r + 28729.085735721942674) * r + 39307.89580009271061
        low = (low * r + 21213.794301586595867) * r + 5394.1960214247511077
        low = (low * r + 687.1870074920579083) * r + 42.313330701600911252
        return q * top / (low * r + 1.0)
    x = normal_tail(p if q < 0.0 else 1.0 - p)
    return -x if q < 0.0 else x


def normal_tail(p: float) -> float:
    """The standard normal's upper quantile at a small p, below 0.075."""
    r = sqrt(-log(p))
    if r <= 5.0:
        r -= 1.6
        top = 7.7454501427834140764e-4
        top = (top * r + 0.0227238449892691845833) * r + 0.24178072517745061177
        top = (top * r + 1.27045825245236838258) * r + 3.64784832476320460504
        top = (top * r + 5.7694972214606914055) * r + 4.6303378461565452959
        top = top * r + 1.42343711074968357734
        low = 1.05075007164441684324e-9
        low = (low * r + 5.475938084995344946e-4) * r + 0.0151986665636164571966
        low = (low * r + 0.14810397642748007459) * r + 0.68976733498510000455
        low = (low * r + 1.6763848301838038494) * r + 2.05319162663775882187
    else:
        r -= 5.0
        top = 2.01033439929228813265e-7
        top = (top * r + 2.71155556874348757815e-5) * r + 0.0012426609473880784386
        top = (top * r + 0.026532189526576123093) * r + 0.29656057182850489123
        top = (top * r + 1.7848265399172913358) * r + 5.4637849111641143699
        top = top * r + 6.6579046435011037772
        low = 2.04426310338993978564e-15
        low = (low * r + 1.4215117583164458887e-7) * r + 1.8463183175100546818e-5
        low = (low * r + 7.868691311456132591e-4) * r + 0.0148753612908506148525
        low = (low * r + 0.13692988092273580531) * r + 0.59983220655588793769
    return top / (low * r + 1.0)


class Distribution:
    """A non-negative random time, drawn by key.

    Attributes:
        mean: the mean, s.
        scv: squared coefficient of variation, variance / mean²; infinite where the variance is.
    """

    mean: float
    scv: float

    def draw(self, key: Key, purpose: int) -> float:
        """The time, in seconds, that belongs to (key, purpose)."""
        raise NotImplementedError


@final
class Constant(Distribution):
    """Always the same time."""

    def __init__(self, value: float) -> None:
        self.mean = value
        self.scv = 0.0

    def draw(self, key: Key, purpose: int) -> float:
        return self.mean


@final
class Exponential(Distribution):
    """Exponential with the given mean."""

    def __init__(self, mean: float) -> None:
        self.mean = mean
        self.scv = 1.0

    def draw(self, key: Key, purpose: int) -> float:
        return -self.mean * log1p(-u01(key, purpose))


@final
class Erlang(Distribution):
    """The sum of `k` exponentials, with the given mean in all."""

    def __init__(self, mean: float, k: int) -> None:
        self.mean = mean
        self.scv = 1.0 / k
        self.k = k

    def draw(self, key: Key, purpose: int) -> float:
        own = bits(key, purpose)
        total = 0.0
        for i in range(self.k):
            total -= log1p(-u01(own, i))
        return total * self.mean / self.k


@final
class Gamma(Distribution):
    """Gamma with the given mean and coefficient of variation (Marsaglia and Tsang's rejection)."""

    shape: float
    scale: float

    def __init__(self, mean: float, cv: float) -> None:
        self.mean = mean
        self.scv = cv * cv
        self.shape = 1.0 / (cv * cv)
        self.scale = mean * cv * cv

    def draw(self, key: Key, purpose: int) -> float:
        """A normal and a uniform a trial; at most one trial in twenty is rejected."""
        own = bits(key, purpose)
        shape = self.shape
        factor = self.scale
        if shape < 1.0:  # Gamma(a) = Gamma(a + 1) · U^(1/a)
            factor *= pow(1.0 - u01(own, 0), 1.0 / shape)
            shape += 1.0
        d = shape - 1.0 / 3.0
        c = 1.0 / sqrt(9.0 * d)
        i = 1
        while True:
            x = normal(own, i)
            v = 1.0 + c * x
            v = v * v * v
            if v > 0.0 and log1p(-u01(own, i + 1)) < 0.5 * x * x + d - d * v + d * log(v):
                return d * v * factor
            i += 2


@final
class LogNormal(Distribution):
    """Log-normal with the given mean and coefficient of variation."""

    median: float
    sigma: float

    def __init__(self, mean: float, cv: float) -> None:
        self.mean = mean
        self.scv = cv * cv
        self.sigma = sqrt(log1p(cv * cv))
        self.median = mean / sqrt(1.0 + cv * cv)

    def draw(self, key: Key, purpose: int) -> float:
        return self.median * exp(self.sigma * normal(key, purpose))


@final
class Weibull(Distribution):
    """Weibull with the given mean and shape."""

    scale: float
    inverse_shape: float

    def __init__(self, mean: float, shape: float) -> None:
        one = gamma(1.0 + 1.0 / shape)
        self.mean = mean
        self.scv = gamma(1.0 + 2.0 / shape) / (one * one) - 1.0
        self.scale = mean / one
        self.inverse_shape = 1.0 / shape

    def draw(self, key: Key, purpose: int) -> float:
        return self.scale * pow(-log1p(-u01(key, purpose)), self.inverse_shape)


@final
class Pareto(Distribution):
    """Pareto (type I) with the given mean and shape > 1; the variance is infinite for shape <= 2."""

    least: float
    inverse_shape: float

    def __init__(self, mean: float, shape: float) -> None:
        self.mean = mean
        self.scv = 1.0 / (shape * (shape - 2.0)) if shape > 2.0 else float("inf")
        self.least = mean * (shape - 1.0) / shape
        self.inverse_shape = 1.0 / shape

    def draw(self, key: Key, purpose: int) -> float:
        return self.least * pow(1.0 - u01(key, purpose), -self.inverse_shape)


@final
class Uniform(Distribution):
    """Uniform between `low` and `high`."""

    width: float

    def __init__(self, low: float, high: float) -> None:
        self.mean = 0.5 * (low + high)
        self.scv = (high - low) ** 2 / 12.0 / (self.mean * self.mean) if self.mean > 0.0 else 0.0
        self.low = low
        self.width = high - low

    def draw(self, key: Key, purpose: int) -> float:
        return self.low + self.width * u01(key, purpose)


@final
class Empirical(Distribution):
    """One of the measured values, each as likely as the others."""

    def __init__(self, values: list[float]) -> None:
        self.values = values
        self.mean = sum(values) / len(values)
        squares = sum((value - self.mean) ** 2 for value in values) / len(values)
        self.scv = squares / (self.mean * self.mean) if self.mean > 0.0 else 0.0

    def draw(self, key: Key, purpose: int) -> float:
        return self.values[int(u01(key, purpose) * len(self.values))]


@final
class Mixture(Distribution):
    """One of several distributions, chosen by weight (weights need not sum to 1)."""

    upper: list[float]

    def __init__(self, weights: list[float], parts: list[Distribution]) -> None:
        total = sum(weights)
        self.parts = parts
        self.upper = []
        below = 0.0
        mean = 0.0
        square = 0.0
        for weight, part in zip(weights, parts, strict=True):
            below += weight / total
            self.upper.append(below)
            if weight > 0.0 and part.mean > 0.0:  # else an infinite scv would make 0 · inf of it
                mean += weight / total * part.mean
                square += weight / total * (part.scv + 1.0) * part.mean * part.mean
        self.mean = mean
        self.scv = square / (mean * mean) - 1.0 if mean > 0.0 else 0.0

    def draw(self, key: Key, purpose: int) -> float:
        """Draw 0 of its own key picks the part, which then draws for purpose 1 of it."""
        own = bits(key, purpose)
        u = u01(own, 0)
        last = len(self.parts) - 1
        i = 0
        while i < last and u >= self.upper[i]:
            i += 1
        return self.parts[i].draw(own, 1)


@final
class Sum(Distribution):
    """Several independent times, one after the other; the first draws what it would draw alone.

    So what is added to a time (such as a measured overhead) leaves its bits as they are, and two runs with
    and without it can be compared draw by draw.
    """

    parts: list[Distribution]

    def __init__(self, parts: list[Distribution]) -> None:
        first = parts[0]
        if isinstance(first, Sum):  # whose second term would draw with the key of ours
            inner: Sum = first
            parts = [*inner.parts, *parts[1:]]
        mean = 0.0
        variance = 0.0
        for part in parts:
            if part.mean > 0.0:  # else an infinite scv would make 0 · inf of it
                mean += part.mean
                variance += part.scv * part.mean * part.mean
        self.parts = parts
        self.mean = mean
        self.scv = variance / (mean * mean) if mean > 0.0 else 0.0

    def draw(self, key: Key, purpose: int) -> float:
        """The first draws for (key, purpose), the i-th other for purpose TERM + i of its own key."""
        own = bits(key, purpose)
        total = self.parts[0].draw(key, purpose)
        i = 1
        while i < len(self.parts):
            total += self.parts[i].draw(own, TERM + i)
            i += 1
        return total
