"""Statistics: intervals, quantiles, exact sums, random streams, angles on a circle."""

from .random import random_stream

__all__ = ["random_stream"]
