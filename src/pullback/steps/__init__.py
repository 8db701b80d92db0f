"""One function for each rule of the workflow: artefacts in, artefact out."""

from .coverage import measure_coverage
from .fits import fit_residuals
from .importing import import_hits
from .infer import infer_theta
from .propagate import propagate_uncertainty
from .simulate import simulate_hits, smear_hits
from .toys import run_toys

__all__ = [
    "fit_residuals",
    "import_hits",
    "infer_theta",
    "measure_coverage",
    "propagate_uncertainty",
    "run_toys",
    "simulate_hits",
    "smear_hits",
]
