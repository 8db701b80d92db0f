"""Inference models: torch functions from hits to observables, with the names and units of both."""

from .base import NO_FOLD, Model, Quantity, at_given_hits, load

__all__ = ["NO_FOLD", "Model", "Quantity", "at_given_hits", "load"]
