"""Angles from muon hits with uncertainties that are propagated by Jacobians and validated by toy Monte Carlo."""

import importlib

__version__ = "0.1.0"

_HOME = {
    "Arcsine": "uncertainty.inputs",
    "Gaussian": "uncertainty.inputs",
    "MeanAccumulator": "uncertainty.systematics",
    "MultivariateGaussian": "uncertainty.inputs",
    "PullbackError": "errors",
    "Rectangular": "uncertainty.inputs",
    "StudentT": "uncertainty.inputs",
    "Trapezoid": "uncertainty.inputs",
    "adaptive_toys": "uncertainty.adaptive",
    "budget_sources": "uncertainty.budget",
    "correlation_matrix": "uncertainty.systematics",
    "covariance_matrix": "uncertainty.systematics",
    "cross_covariance": "uncertainty.systematics",
    "infer_theta": "models.one_hit",
    "jacobian": "uncertainty.jacobians",
    "linear_valid": "uncertainty.validity",
    "mean_sigma_gradient": "uncertainty.design",
    "mean_uncertainty": "uncertainty.systematics",
    "muon_jacobian": "uncertainty.jacobians",
    "numerical_tolerance": "uncertainty.validity",
    "propagate": "uncertainty.linear",
    "propagate_distribution": "uncertainty.distribution",
    "quote": "uncertainty.quoting",
    "random_stream": "statistics.random",
    "run_toys": "uncertainty.toys",
    "second_order": "uncertainty.higher_order",
    "smear": "detector.smearing",
    "solve_target": "uncertainty.design",
    "systematic_jacobian": "uncertainty.systematics",
    "uncertainty_budget": "uncertainty.budget",
}

__all__ = sorted(_HOME)


def __getattr__(name: str):
    # Each name is imported when it is first used: most of the workflow's jobs need no torch, which takes 2 s.
    if name not in _HOME:
        raise AttributeError(f"module 'pullback' has no attribute {name!r}")
    return getattr(importlib.import_module(f"pullback.{_HOME[name]}"), name)


def __dir__():
    return __all__
