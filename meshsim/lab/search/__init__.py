"""Searches among candidates whose measurements are noisy; they know nothing of simulation.

`verdict` says whether replications show that limits are met, `inquiry` adds replications until that is clear
or stays inconclusive, and `bisection` and `knee` choose which candidate comes next. What makes the
replications is a callable: `meshsim.lab.capacity` hands over runs, the tests a noisy function.
"""
