"""Numbers of toys that the guides to Monte Carlo ask for."""

ADAPTIVE_BATCH = 10_000
"""Toys in a batch of the adaptive procedure (JCGM 101:2008, 7.9.4)."""

FEWEST_FOR_ENDS = 200
"""Toys of a muon, below which the ends of their 95 % interval are not known: 5 toys are beyond each."""
