"""Angles from muon hits with uncertainties that are propagated by Jacobians and proved by toy Monte Carlo."""

import importlib

__version__ = "0.1.0"

_HOME = {
    "Arcsine": "distributions",
    "Gaussian": "distributions",
    "Gaussians": "distributions",
    "PullbackError": "errors",
    "Rectangular": "distributions",
    "SharedMean": "systematics",
    "StudentT": "distributions",
    "Trapezoid": "distributions",
    "adaptive_toys": "adaptive",
    "budget_sources": "budget",
    "correlation_matrix": "systematics",
    "infer_theta": "models.one_hit",
    "jacobian": "jacobians",
    "linear_ok": "linearity",
    "mean_sigma_gradient": "design",
    "mean_uncertainty": "systematics",
    "muon_jacobian": "jacobians",
    "numerical_tolerance": "linearity",
    "propagate": "propagation",
    "quote": "quoting",
    "run_toys": "toys",
    "second_order": "higher_order",
    "shared_covariance": "systematics",
    "shared_jacobian": "systematics",
    "smear": "smearing",
    "solve_target": "design",
    "spread": "spreading",
    "stream": "streams",
    "systematic_covariance": "systematics",
    "uncertainty_budget": "budget",
}

__all__ = sorted(_HOME)


def __getattr__(name: str):
    # Each name is imported when it is first used: most of the workflow's jobs need no torch, which takes 2 s.
    if name not in _HOME:
        raise AttributeError(f"module 'pullback' has no attribute {name!r}")
    return getattr(importlib.import_module(f"pullback.{_HOME[name]}"), name)


def __dir__():
    return __all__
