"""Judgement of the uncertainties against toys, truth and data."""
