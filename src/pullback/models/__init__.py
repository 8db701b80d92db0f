"""Inference models: torch functions from hits to observables, with names and units."""

from .base import NO_FOLD, Model, NamedSection, Quantity, has_fit, load_model

__all__ = ["NO_FOLD", "Model", "NamedSection", "Quantity", "has_fit", "load_model"]
