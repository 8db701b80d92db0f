"""The cases of the guides to uncertainty (JCGM 100 and 101), each with its model and inputs."""

import json
from pathlib import Path

import numpy as np
import torch

from pullback import Gaussian, MultivariateGaussian, Rectangular

CASES = json.loads(Path(__file__).with_name("data").joinpath("jcgm_cases.json").read_text())["cases"]
CASES = {case["name"]: case for case in CASES}
IMPEDANCE = [name for name in CASES if name.startswith("GUM H.2")]
MASS = "S1-9.3 mass calibration"
LOSS = [name for name in CASES if name.startswith("S1-9.4")]


def mass(h):
    """The deviation of the conventional mass from 100 g, in mg."""
    reference, difference, air, weight, density = h.unbind(1)
    return (reference - 100_000 + difference + (reference + difference) * (air - 1.2) * (1 / weight - 1 / density))[
        :, None
    ]


def impedance(h):
    """Resistance, reactance and impedance."""
    voltage, current, phase = h.unbind(1)
    z = voltage / current
    return torch.stack([z * phase.cos(), z * phase.sin(), z], dim=1)


def total(h):
    return h.sum(dim=1, keepdim=True)


def same(h):
    return h


MODELS = {
    **{name: total for name in CASES if name.startswith("S1-9.2")},
    MASS: mass,
    **dict.fromkeys(LOSS, lambda h: (h * h).sum(dim=1, keepdim=True)),
    **dict.fromkeys(IMPEDANCE, impedance),
    "exact: square of standard normal": torch.square,
    "exact: lognormal": torch.exp,
    "exact: product of normals": lambda h: h.prod(dim=1, keepdim=True),
    "exact: folded normal |x|/1.5 at 0": lambda h: h.abs() / 1.5,
}


def inputs_of(case):
    if case["correlation"]:
        names = list(case["inputs"])
        mean, sd = ([each["params"][what] for each in case["inputs"].values()] for what in ("mean", "std"))
        correlation = np.eye(len(names))
        for pair, r in case["correlation"].items():
            i, j = map(names.index, pair.split(","))
            correlation[i, j] = correlation[j, i] = r
        return [MultivariateGaussian(mean, correlation * np.outer(sd, sd))]
    make = {"normal": lambda mean, std: Gaussian(mean, std), "uniform": lambda low, high: Rectangular(low, high)}
    return [make[each["dist"]](**each["params"]) for each in case["inputs"].values()]
