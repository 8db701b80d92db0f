"""Judgement of the uncertainties against toys, truth and data."""

from .evidence import Evidence, Verdict

__all__ = ["Evidence", "Verdict"]
