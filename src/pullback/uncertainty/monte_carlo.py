"""Numbers of toys that Monte Carlo needs."""

ADAPTIVE_BATCH = 10_000
"""Toys in a batch of the adaptive procedure (JCGM 101:2008, 7.9.4)."""

FEWEST_FOR_ENDS = 200
"""Minimum toys per muon for 95 % interval ends (5 in each tail)."""
