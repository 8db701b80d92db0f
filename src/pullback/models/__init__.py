"""Inference models: torch functions from hits to observables, with names and units."""

from .base import NO_FOLD, Model, NamedSection, Quantity, at_given_hits, load_model

__all__ = ["NO_FOLD", "Model", "NamedSection", "Quantity", "at_given_hits", "load_model"]
