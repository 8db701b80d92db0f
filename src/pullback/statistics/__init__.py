"""Statistics: intervals, quantiles, exact sums, random streams, angles on a circle."""
