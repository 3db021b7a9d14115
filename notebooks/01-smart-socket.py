# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#     text_representation:
#       extension: .py
#       format_name: percent
#     notebook_metadata_filter: meshsim
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
#   meshsim:
#     difficulty: easy
#     id: '01'
#     minutes:
#       exercise: 25
#       teach: 15
#     needs: []
#     scenarios:
#     - smart-socket
#     title: What is a service mesh? The smart socket
# ---

# %% [markdown]
# # 01 What is a service mesh? The smart socket
#
# **Question.** What can change in how services talk, when nobody may change the services?
#
# **You will be able to** say what moves from the app to the socket; name the two planes of a mesh and its
# five jobs; compute what retries buy, and say when they hurt.
#
# 15 minutes to read and run, 25 for the exercises · easy · needs no other lesson · scenario: below, and
# with five different services in `scenarios/smart-socket.yaml`
#
# A lamp knows nothing of fuses, meters and timers. They sit in the socket, and every lamp that is plugged
# in has them. A **service mesh** is that socket for services: beside each one stands a small proxy, its
# **sidecar**, and everything that goes in or out passes it.
#
# ## 1 A graph to begin with
#
# A shop's page is put together from five parts. Each is a call to the service `parts`, all five are made at
# once, and the page is whole only if all of them succeed. Of a hundred calls one fails, for no reason that
# comes back: try again, and it works.

# %%
import matplotlib.pyplot as plt
import pandas as pd

import meshsim as ms
from meshsim.course import lesson01
from meshsim.plot import style

plt.rcParams.update({"font.size": 10, "figure.dpi": 90})

APP = """
name: five parts
seed: 1
duration: 40s
services:
  page: {script: [[{call: parts}, {call: parts}, {call: parts}, {call: parts}, {call: parts}]]}
  parts: {workers: 10, time: {lognormal: {mean: 10ms, cv: 0.5}}, errors: 1%}
mesh:
  dataplane: sidecar
  proxy: {time: 0.2ms}
load:
  - {to: page, rate: 100/s}
"""

# %% [markdown]
# Nobody touches the app. After 20 seconds an operator sends three lines to the sidecars: *if a call to
# `parts` fails, or takes longer than 100 ms, try it once more.*

# %%
THREE_LINES = """
policies:
  parts:
    retries: {attempts: 1, per_try_timeout: 100ms}
"""
PUSH = """
events:
  - {at: 20s, set: {policies.parts.retries: {attempts: 1, per_try_timeout: 100ms}}}
"""
pushed = ms.run(ms.loads(APP + PUSH))

client = pushed.series[pushed.series.kind == "client"]
two_seconds = client.groupby(client.time // 2 * 2)[["completed", "failed"]].sum()
broken = 100 * two_seconds.failed / two_seconds.completed

figure, axes = plt.subplots(figsize=(8, 3))
axes.step(broken.index, broken, where="post", color=style.VERMILLION, linewidth=1.8)
axes.axvline(20, color=style.INK, linewidth=1, linestyle="--")
axes.text(20.4, 7.2, "three lines pushed to the sidecars:\nno new code, nothing restarted", va="top")
axes.set(xlim=(0, 40), ylim=(0, 8), xlabel="time, s")
style.tidy(axes, "broken pages, % (200 pages a step)")
plt.show()

# %% [markdown]
# ## 2 Predict
#
# Write your answers into the cell before you go on. They are kept, not graded: a guess that turns out wrong
# is what makes the rest stick.
#
# **calls** How many more calls does the service `parts` get because of the three lines?
#
# - **A** none: a retry takes the place of the call that failed
# - **B** about one in a hundred more
# - **C** twice as many: every call is made twice
# - **D** 32 times as many: two tries, for each of five calls
#
# **broken** Of 10,000 pages, about 500 were broken before. How many are now?
#
# **added** Each pass through a sidecar takes 0.2 ms. By how many milliseconds do the sidecars make the mean
# page slower?

# %%
prediction = {
    "calls": "",  # "A", "B", "C" or "D"
    "broken": None,  # of 10,000 pages
    "added": None,  # ms
}

# %% [markdown]
# ## 3 Run
#
# The same app in three sockets:
#
# - **dumb**: the services call each other directly, and a failure is a failure;
# - **library**: the retry is code inside the page service, as client libraries have it;
# - **sidecar**: the retry sits in the proxy beside it.
#
# (A fourth, one proxy shared by all services of a machine, comes with lesson 13.) Each runs five times with
# other random numbers; ± is the 95 % interval that the five give, which misses the truth once in twenty.
# The three get *the same* numbers, so that they differ by their socket alone.

# %%
SOCKETS = {"dumb": ("none", ""), "library": ("none", THREE_LINES), "sidecar": ("sidecar", THREE_LINES)}
runs = {
    name: ms.run(
        ms.loads(APP + lines, overrides={"duration": "12s", "mesh.dataplane": dataplane}), replications=5
    )
    for name, (dataplane, lines) in SOCKETS.items()
}

table = pd.DataFrame(
    {
        name: {
            "whole pages, %": 100 * run.summary["requests"]["success_ratio"],
            "± (95 %)": 100 * run.summary["ci"]["requests.success_ratio"]["half_width"],
            "tries per call": run.services.requests["parts"] / run.edges.requests["page -> parts"],
            "mean page, ms": 1000 * run.summary["latency"]["mean"],
        }
        for name, run in runs.items()
    }
).T.round(2)
table["to change the retry"] = ["-", "release every caller anew", "push three lines"]
table

# %% [markdown]
# Compare with what you wrote:

# %% tags=["compare"]
lesson01.compared(prediction, runs)

# %% [markdown]
# ## 4 Explain
#
# **What the retry buys.** If a try fails with probability $p$, independently of the others, then all of $r
# + 1$ tries fail with $p^{r+1}$, and a page of $n$ calls is whole with
#
# $$ S = \left(1 - p^{\,r+1}\right)^n . $$
#
# With $p = 1\,\%$ and $n = 5$: $0.99^5 = 95.10\,\%$ without a retry, $0.9999^5 = 99.95\,\%$ with one. The
# first number is the surprise of distributed systems: five services that are *fine* make a page that is
# not. The second is why everybody retries.
#
# **What it costs.** A call is tried again only if it failed: $1 + p + \dots + p^r$ tries, here 1.01 (answer
# B; A forgets that the failed try has been made, too). Whoever said C thought of the worst case, and will be
# right in section 7. D multiplies what adds up: the five calls are made side by side, and no call retries
# another's tries. In a chain of services that call each other it does happen: lesson 06.
#
# **What the sidecar costs.** A message passes the proxy of whoever sends and of whoever receives it. The
# client has none, so a page passes six proxies: into `page`, out to `parts`, into `parts`, and the same way
# back; the five calls go side by side. 6 × 0.2 ms = 1.2 ms.

# %%
from meshsim.theory import retries

LOOKS = {0: (style.VERMILLION, "-"), 1: (style.BLUE, "--"), 2: (style.GREEN, ":")}
NAMES = ("no retry", "one retry", "two retries")
figure, axes = plt.subplots(figsize=(8, 3.4))
calls = range(1, 31)
for number, (colour, dashes) in LOOKS.items():
    curve = [100 * (1 - retries.success(0.01, number) ** n) for n in calls]
    axes.plot(calls, curve, color=colour, linestyle=dashes, linewidth=1.8)
    axes.text(30.4, curve[-1], NAMES[number], va="center")
for name, number in (("dumb", 0), ("sidecar", 1)):
    seen, half = 100 - table.loc[name, "whole pages, %"], table.loc[name, "± (95 %)"]
    axes.errorbar(5, seen, min(half, 0.9 * seen), fmt="o", color=LOOKS[number][0], capsize=4)
axes.text(5.4, 0.6, "dots: the runs above")
axes.set(yscale="log", xlim=(1, 30), ylim=(1e-4, 100), xlabel="calls that a page needs, n")
style.tidy(axes, "broken pages, % (log scale): the formula as lines, p = 1 %")
plt.show()

# %% [markdown]
# **What has moved.** The retry is no part of the app any longer; it is a setting of the socket. The same
# goes for everything else that all services need and none is about. A mesh has five such jobs:
#
# | job | what the sidecar does | lesson |
# |---|---|---|
# | identity | proves who calls (mutual TLS), and lets in who may | 12 |
# | observability | counts and times every call, passes trace headers on | 14 |
# | traffic | picks a replica, splits between versions, mirrors | 04, 11 |
# | resilience | times out, tries again, breaks, ejects, hedges | 05 to 10 |
# | policy | limits rates, says who may call what | 09, 12 |
#
# The sidecars together are the **data plane**: they touch every request and know only what they were told.
# What tells them is the **control plane**: it holds the configuration and *pushes* it, as in the graph at
# the top, and touches no request. So if the control plane stops, calls go on under the last rules that
# arrived.
#
# What a mesh is not: no API gateway (that guards the way *in*; a mesh, every way between), no Kubernetes
# networking (that carries packets to an address; a mesh decides about *requests*), and no reliability for
# nothing (section 7).

# %% [markdown]
# ## 5 Turn the knob
#
# How many retries are worth their calls? Each dot is a run of 400 pages, with its 95 % interval; the lines
# are the formula.

# %%
ERRORS = (0.005, 0.01, 0.02, 0.05, 0.10)
found = []
for number in LOOKS:
    lines = {"policies.parts.retries": {"attempts": number}} if number else {}
    for error in ERRORS:
        run = ms.run(ms.loads(APP, overrides={**lines, "services.parts.errors": error, "duration": "4s"}))
        share = run.summary["requests"]["success_ratio"]
        half = 1.96 * (share * (1 - share) / run.summary["requests"]["completed"]) ** 0.5
        found.append({"retries": number, "errors": error, "whole": share, "half": half})
knob = pd.DataFrame(found)

figure, panels = plt.subplots(1, 3, figsize=(9, 3), sharey=True)
for axes, (number, (colour, dashes)) in zip(panels, LOOKS.items(), strict=True):
    dots = knob[knob.retries == number]
    axes.plot(
        [100 * p for p in ERRORS],
        [100 * retries.success(p, number) ** 5 for p in ERRORS],
        color=colour,
        linestyle=dashes,
    )
    axes.errorbar(100 * dots.errors, 100 * dots.whole, 100 * dots.half, fmt="o", color=colour, capsize=3)
    axes.set(ylim=(50, 102), xlabel="calls that fail, %")
    style.tidy(axes, NAMES[number])
panels[0].set_ylabel("whole pages, %")
figure.tight_layout()
plt.show()

# %% [markdown]
# With `ipywidgets` (part of `meshsim[lab]`) there is a knob here that simulates whatever you choose;
# without it, the panels above say the same.

# %% tags=["knob"]
try:
    from ipywidgets import interact
except ImportError:
    print("no ipywidgets: look at the panels above, or change the numbers in the cell that made them")
else:

    @interact(errors=[0.5, 1.0, 2.0, 5.0, 10.0, 20.0], attempts=(0, 4), parts=(1, 20))
    def turn(errors=5.0, attempts=1, parts=5):
        run = ms.run(
            ms.loads(
                APP,
                overrides={
                    "duration": "3s",
                    "services.parts.errors": errors / 100,
                    "services.page.script": [[{"call": "parts"}] * parts],
                    "policies.parts.retries": {"attempts": attempts},
                },
            )
        )
        print(f"formula    {100 * retries.success(errors / 100, attempts) ** parts:6.2f} % whole pages")
        print(f"simulation {100 * run.summary['requests']['success_ratio']:6.2f} % of 300")


# %% [markdown]
# ## 6 Prove
#
# Each exercise has a cell for you and a cell that checks it. Run the check as often as you like.
#
# ### 01a Whole pages (easy, 5 minutes)
#
# Write the formula of section 4 as a function. It has to be right to 0.001 for other numbers than the
# lesson's.


# %% tags=["exercise-a"]
def whole(n, p, r):
    """The share of pages of n calls that are whole, if a try fails with probability p, with r retries."""


# %% tags=["check-a"]
print(lesson01.check_whole(whole))

# %% [markdown]
# ### 01b Your own three lines (moderate, 12 minutes)
#
# The `parts` team had a bad week: now 3 % of their calls fail. Write policies (up to a handful of lines) so
# that **at least 99.9 %** of the pages are whole, and the mean page is **at most 3 ms** slower than in the
# dumb socket. The sidecars' 1.2 ms count. Allow **no more retries than that takes**: each one more is as many
# calls again on the day when `parts` is down altogether.
#
# What you may need: `retries` takes `attempts` and `backoff`. Before a retry the proxy waits a random time,
# uniform between 0 and a bound that starts at `base` (25 ms, unless you say otherwise) and doubles with
# each retry of the call; `max` caps it (ten times `base`): `backoff: {base: 25ms, max: 250ms}`.

# %% tags=["exercise-b"]
MINE = """
policies:
  parts:
    retries: {attempts: 1}
"""

# %% tags=["check-b"]
print(lesson01.check_lines(APP, MINE))

# %% [markdown]
# ### 01c Which plane? (easy, 8 minutes)
#
# Three dashboards of the same app. In each, at 10 s an operator pushes the three lines. Something is wrong
# in each: once with the **app**, once with the **data plane**, once with the **control plane**. Decide by
# the graphs.

# %%
PUSHED = PUSH.replace("20s", "10s").strip()
figure, panels = plt.subplots(3, 3, figsize=(9, 6.2), sharex=True, sharey="row")
for column, (name, run) in enumerate(lesson01.dashboards(APP, PUSHED).items()):
    series = run.series[run.series.time < 30]
    series = series.assign(bin=series.time // 1.5 * 1.5)
    client = series[series.kind == "client"].groupby("bin")[["completed", "failed"]].sum()
    slow = series[series.kind == "client"].groupby("bin")["mean"].mean()
    busy = series[series.name == "parts"].groupby("bin")["utilisation"].mean()
    values = (100 * client.failed / client.completed, 1000 * slow, 100 * busy)
    for row, (axes, value) in enumerate(zip(panels[:, column], values, strict=True)):
        axes.step(
            value.index,
            value,
            where="post",
            color=(style.VERMILLION, style.BLUE, style.GREEN)[row],
            linewidth=1.6,
        )
        axes.axvline(10, color=style.INK, linewidth=0.8, linestyle="--")
        style.tidy(axes, (f"{name}: broken pages, %", "mean page, ms", "utilisation of parts, %")[row])
panels[0, 0].set_ylim(0, 100)
panels[1, 0].set_yscale("log")
panels[2, 0].set_ylim(0, 100)
panels[0, 0].text(9.5, 60, "push sent", ha="right")
for axes in panels[2]:
    axes.set_xlabel("time, s")
figure.tight_layout()
plt.show()

# %% tags=["exercise-c"]
verdict = {"first": "", "second": "", "third": ""}  # "app", "data plane" or "control plane"

# %% tags=["check-c"]
print(lesson01.check_planes(verdict))

# %% [markdown]
# ## 7 When this hurts
#
# The same app, the same three lines. The users have patience for one second. At 10 s `parts` becomes three
# times slower, for five seconds, as services do: a backup runs, a cache is cold.

# %%
TROUBLE = """
events:
  - {at: 10s, for: 5s, service: parts, slow: 3}
"""
PATIENCE = {"policies.page.timeout": "1s", "drain": "5s"}
hurt = {
    "without": ms.run(ms.loads(APP + TROUBLE, overrides=PATIENCE)),
    "with the three lines": ms.run(ms.loads(APP + TROUBLE + THREE_LINES, overrides=PATIENCE)),
}

figure, axes = plt.subplots(figsize=(8, 3.2))
axes.axvspan(10, 15, color="#F6DFA6", alpha=0.75, linewidth=0)
axes.text(12.5, 148, "parts 3x slower", ha="center", va="top")
for (name, run), (colour, dashes) in zip(hurt.items(), LOOKS.values(), strict=False):
    client = run.series[(run.series.kind == "client") & (run.series.time < 40)]
    good = client.groupby(client.time // 1 * 1).ok.sum()
    axes.step(good.index, good, where="post", color=colour, linestyle=dashes, linewidth=1.8)
    axes.text(40.4, max(2.0, good.iloc[-5:].mean()), name, va="center")
axes.set(xlim=(0, 40), ylim=(0, 150), xlabel="time, s")
style.tidy(axes, "whole pages a second, of 100 that are asked for")
plt.show()
for name, run in hurt.items():
    late = run.series[(run.series.kind == "client") & (run.series.time >= 30) & (run.series.time < 40)]
    print(f"{name:20} {late.ok.sum() / 10:5.1f} whole pages/s from 30 s on")

# %% [markdown]
# Without the lines, five bad seconds cost a little more than five seconds. With them, the shop stays dead
# when `parts` has long been well: each call waits longer than 100 ms in the queue, is given up and tried
# again, so `parts` gets twice the calls (answer C of section 2) and spends its time on answers that nobody
# waits for any longer, which keeps the queue long. The formula of section 4 has not become wrong; its
# condition has. Tries that fail *because there are too many of them* are not independent.
#
# The socket did what it was told, for a whole shop at once. That is the other side of "no code change":
# three lines can break what three lines mended. Lesson 06 gives retries a budget, lesson 07 takes this
# failure apart.
#
# ## Key points
#
# - A mesh moves what all services need (identity, observability, traffic, resilience, policy) from the app
#   into a proxy beside it.
# - The data plane, the sidecars, touches requests; the control plane tells it how, and can fail by itself.
# - $n$ calls that are all needed multiply their successes, in a row or side by side; $r$ retries raise a
#   *random* failure to the power $r+1$.
# - A retry must be safe to repeat (reading a price is, paying is not), and multiplies the load when
#   failures come from load.
# - A sidecar costs time on every pass: two for each message between services.
#
# ## Sources
#
# Morgan, *What's a service mesh? And why do I need one?* (Buoyant, 2017) · Calçado, *Pattern: Service Mesh*
# (2017) · Burns and Oppenheimer, *Design Patterns for Container-based Distributed Systems*, HotCloud 2016
# (the sidecar) · Envoy, *Router: retries* (what `attempts`, `per_try_timeout` and the back-off mean) ·
# Bronson et al., *Metastable Failures in Distributed Systems*, HotOS 2021 (section 7).
