"""Coverage probabilities of the quoted intervals, and their factors for the normal distribution."""

from statistics import NormalDist

P68, P95 = 0.6827, 0.95
"""Coverage probabilities of the quoted intervals."""

K68, K95 = (NormalDist().inv_cdf((1 + p) / 2) for p in (P68, P95))
"""Half-widths of the central intervals of these probabilities, in standard deviations: 1.000 and 1.960."""
