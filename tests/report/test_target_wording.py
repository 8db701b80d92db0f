"""The sentences on a target, from answers that are given."""

import math

import pytest

from pullback.report.target_wording import target_sentences
from pullback.store.target_file import TargetAnswer, TargetAnswers


def sentences(wanted, unit="1", **answer):
    start = {"reached": False, "nearest": 0.02, "nearest_sigma": 3.5223e-5, "start": 2e-5, "start_sigma": 2.98e-5}
    answer = TargetAnswer(**{**start, "values": {}, "grid": [2e-8, 0.02], "sigmas": [1e-6, 3.5e-5], **answer})
    units = {"model.z[2]": "m", "model.dz": "m"}
    target = TargetAnswers(
        observable="slope", wanted=wanted, vary="detector.sigma[1]", unit="m", units=units, answers=[answer]
    )
    (text,) = target_sentences(target, "dx/dz", unit)
    return text.striptags()


def test_what_is_not_reached_has_a_power_of_ten_and_no_unit_1():
    assert sentences(0.001) == (
        "No value of detector.sigma[1] from 0.02 µm to 20 mm gives a mean σ of dx/dz of 0.001: the nearest is "
        "35.2 × 10⁻⁶, at 20 mm."
    )


def test_muons_without_a_sigma_are_told():
    text = sentences(0.001, reached=True, value=6.7111e-4, known=8, muons=3000)
    assert "gives a mean σ of dx/dz of 0.001 for the 8 of 3 000 muons that have a σ there. The present" in text


def test_what_is_reached_has_a_power_of_ten_and_no_unit_1():
    assert sentences(0.001, reached=True, value=6.7111e-4) == (
        "detector.sigma[1] = 671.1 µm gives a mean σ of dx/dz of 0.001. The present value is 20 µm, with a mean "
        "σ of 29.8 × 10⁻⁶."
    )


@pytest.mark.parametrize(
    ("wanted", "unit", "expected"),
    [
        (2e-5, "1", "20 × 10⁻⁶:"),
        (3.5e-4, "1", "0.00035:"),
        (math.tan(1e-3), "1", "0.001:"),
        (0.0018, "rad", "1.8 mrad:"),
        (2e-5, "rad", "20 µrad:"),
        (2e-5, "c/GeV", "20 × 10⁻⁶ c/GeV:"),
    ],
)
def test_what_was_wanted(wanted, unit, expected):
    assert f"gives a mean σ of dx/dz of {expected} the nearest" in sentences(wanted, unit)


def test_scanned_values_have_their_units():
    assert sentences(0.001, values={"model.z[2]": 0.2, "detector.efficiency": 0.9}).startswith(
        "model.z[2] = 200 mm, detector.efficiency = 0.9: No value of detector.sigma[1] from "
    )


def test_other_values_that_reach_it_are_said():
    said = sentences(0.001, value=1e-4, reached=True, nearest=1e-4, nearest_sigma=0.001, further=[5e-4])
    assert "; so does 500 µm, farther from the present value. The present" in said
    said = sentences(0.001, value=1e-4, reached=True, nearest=1e-4, nearest_sigma=0.001, further=[5e-4, 1e-3])
    assert "; so do 500 µm and 1 mm, farther from the present value. The present" in said
    assert "so do" not in sentences(0.001, value=1e-4, reached=True, nearest=1e-4, nearest_sigma=0.001)
