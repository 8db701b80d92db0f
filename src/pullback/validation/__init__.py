"""Whether the uncertainties are right."""
