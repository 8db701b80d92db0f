"""Coverage probabilities of the quoted intervals, and their factors for the normal distribution."""

from math import sqrt
from statistics import NormalDist

P68, P95 = 0.6827, 0.95
"""Coverage probabilities of the quoted intervals."""

K68, K95 = (NormalDist().inv_cdf((1 + p) / 2) for p in (P68, P95))
"""Half-widths of the central intervals of these probabilities, in standard deviations: 1.000 and 1.960."""

END95_ERROR = sqrt((1 - P95) / 2 * (1 + P95) / 2) / NormalDist().pdf(K95)
"""Standard error of an end of the 95 % interval from n values, √(p(1 − p)/n)/φ, times √n, in standard deviations."""
