import math
from typing import get_args

import numpy as np
import pytest
from scipy import integrate, optimize

from pullback.models.energy_loss import (
    MATERIALS,
    SLOWEST,
    MaterialName,
    bethe,
    material_of,
    slow_down,
    unchanged,
)
from pullback.models.multiple_scattering import highland

MASS = 0.1056583755
IRON = MATERIALS["iron"].material

MINIMUM = {
    "water": 1.992,
    "concrete": 1.711,
    "standard_rock": 1.688,
    "aluminium": 1.615,
    "iron": 1.451,
    "copper": 1.403,
    "lead": 1.122,
    "uranium": 1.081,
}
"""Minimum ionisation, MeV cm²/g, of the PDG's Atomic and Nuclear Properties."""

RADIATION_LENGTH = {
    "water": 36.08,
    "concrete": 26.57,
    "standard_rock": 26.54,
    "aluminium": 24.01,
    "iron": 13.84,
    "copper": 12.86,
    "lead": 6.37,
    "uranium": 6.00,
}
"""Radiation lengths, g/cm², of the same."""


def by_hand(p, material):
    """Bethe's formula, number by number, in MeV and with the logarithm written out."""
    mass, electron = 105.6583755, 0.51099895
    energy = math.hypot(1e3 * p, mass)
    beta, gamma = 1e3 * p / energy, energy / mass
    most = 2 * electron * (beta * gamma) ** 2 / (1 + 2 * gamma * electron / mass + (electron / mass) ** 2)
    mean = material.excitation * 1e-6
    a, k, x0, x1, c, delta0 = material.effect
    x = math.log10(beta * gamma)
    if x >= x1:
        delta = 2 * math.log(10) * x - c
    elif x >= x0:
        delta = 2 * math.log(10) * x - c + a * (x1 - x) ** k
    else:
        delta = delta0 * 10 ** (2 * (x - x0))
    log = 0.5 * math.log(2 * electron * (beta * gamma) ** 2 * most / mean**2)
    return 0.307075 * material.z_over_a / beta**2 * (log - beta**2 - delta / 2)


def followed(p, path, material):
    """A muon followed by the differential equation of its momentum: the momentum at places along the path."""

    def slope(_, momentum):
        return [-0.1 * material.density * by_hand(momentum[0], material) * math.hypot(momentum[0], MASS) / momentum[0]]

    places = np.linspace(0, path, 4001)
    return places, integrate.solve_ivp(slope, (0, path), [p], t_eval=places, rtol=1e-10, atol=1e-12).y[0]


def test_all_materials_can_be_named():
    assert get_args(MaterialName) == tuple(MATERIALS) == tuple(MINIMUM)


@pytest.mark.parametrize("name", MINIMUM)
def test_minimum_ionisation_is_that_of_the_tables(name):
    material = MATERIALS[name].material
    found = optimize.minimize_scalar(lambda p: float(bethe(p, material)), bounds=(0.1, 2), method="bounded")
    assert found.fun == pytest.approx(MINIMUM[name], rel=1.5e-3)
    assert 0.28 < found.x < 0.45  # βγ of 3 to 4
    grams = 100 * MATERIALS[name].radiation_length * material.density
    assert grams == pytest.approx(RADIATION_LENGTH[name], rel=1e-3)


@pytest.mark.parametrize("name", ["water", "iron", "lead"])
@pytest.mark.parametrize("p", [0.011, 0.08, 0.1, 1.0, 30.0, 1e3])
def test_the_formula_by_hand(name, p):
    assert bethe(p, MATERIALS[name].material) == pytest.approx(by_hand(p, MATERIALS[name].material), rel=1e-8)


@pytest.mark.parametrize("name", MINIMUM)
def test_the_plasma_energy_gives_the_constant_of_the_density_effect(name):
    """C = 2 ln(I/ħω_p) + 1, which Sternheimer's fits keep (standard rock: of calcium carbonate, to 0.06)."""
    material = MATERIALS[name].material
    general = material_of(material.density, material.z_over_a, material.excitation)
    assert general.effect.c == pytest.approx(material.effect.c, abs=0.06 if name == "standard_rock" else 3e-4)
    p = np.geomspace(0.05, 100, 1001)
    np.testing.assert_allclose(bethe(p, general), bethe(p, material), rtol=0.023)


@pytest.mark.parametrize("excitation", [19.0, 99.0, 101.0, 890.0])
@pytest.mark.parametrize("density", [0.1, 1.0, 20.0])
def test_the_general_density_effect_is_continuous(density, excitation):
    material = material_of(density, 0.5, excitation)
    for x in (material.effect.x0, material.effect.x1):
        around = MASS * 10 ** (x + np.array([-1e-9, 1e-9]))
        assert np.diff(bethe(around, material))[0] == pytest.approx(0, abs=1e-6)


def test_the_range_is_that_of_the_review_of_particle_physics():
    """R/M = 396 g/(cm² GeV) in lead at βγ = 1.42, read there from figure 34.4 (example of a kaon of 700 MeV/c)."""
    lead = MATERIALS["lead"].material
    grams = lambda path: 100 * lead.density * path  # noqa: E731
    p = np.array([1.42 * MASS])
    stops = lambda path: 1.0 if np.isnan(slow_down(p, np.array([path]), lead).momentum[0]) else -1.0  # noqa: E731
    assert grams(optimize.bisect(stops, 0.01, 0.1)) / MASS == pytest.approx(396, rel=0.015)


@pytest.mark.parametrize(
    ("p", "path"), [(3.0, 0.1), (1.0, 0.1), (1.0, 0.4), (1.0, 0.55), (0.5, 0.2), (10.0, 2.0), (1e3, 5.0)]
)
def test_muons_slow_down_and_scatter_as_those_that_are_followed(p, path):
    places, momenta = followed(p, path, IRON)
    found = slow_down(np.array([p]), np.array([path]), IRON)
    assert found.momentum[0] == pytest.approx(momenta[-1], rel=1e-5)
    inverse = (momenta**2 + MASS**2) / momenta**4
    mean = lambda values: integrate.simpson(values * inverse, x=places) / integrate.simpson(inverse, x=places)  # noqa: E731
    effective = (found.effective[0] ** 2 + MASS**2) / found.effective[0] ** 4
    assert effective == pytest.approx(integrate.simpson(inverse, x=places) / path, rel=2e-5)
    arm = mean(path - places)
    assert found.arm[0] == pytest.approx(arm, rel=1e-3)
    assert found.arm_sd[0] == pytest.approx(math.sqrt(mean((path - places - arm) ** 2)), rel=1e-3)


def test_little_material_changes_nothing():
    p = np.array([3.0, 3.0, 0.2])
    path = np.array([0.0, 1e-9, 1e-6])
    found, expected = slow_down(p, path, IRON), unchanged(p, path)
    np.testing.assert_allclose(found.momentum, p, rtol=1e-4)
    np.testing.assert_allclose(found.effective, p, rtol=1e-4)
    np.testing.assert_allclose(found.arm, expected.arm, rtol=1e-3)
    np.testing.assert_allclose(found.arm_sd, expected.arm_sd, rtol=1e-3)


def test_muons_with_a_shorter_range_stop():
    """All columns of a muon that stops are NaN, and only those."""
    p = np.array([SLOWEST, 0.1, 0.5, 0.9, 1.0, 1e5])
    found = slow_down(p, np.full(6, 0.55), IRON)
    for values in found:
        assert np.isnan(values).tolist() == [True, True, True, False, False, False]
    assert (highland(found.effective[3:], 0.55, 0.01757) > highland(p[3:], 0.55, 0.01757)).all()
