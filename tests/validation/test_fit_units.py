"""Units that are forgotten are asked for before anything else; correct studies are not suspected."""

import numpy as np
import pytest
from fitted_hits import TELESCOPE, straight_hits, tally_of

from pullback.config.model_schema import Track, Track3d
from pullback.config.schema import Validation
from pullback.models import load_model
from pullback.statistics.intervals import Verdict
from pullback.validation.fit_estimates import FitEstimates
from pullback.validation.fit_judgement import FitJudge
from pullback.validation.fit_units import column_question, noise_of, unit_question

Z, SIGMA = TELESCOPE, 2e-5
IN_MM = [1e3 * height for height in Z]
FIRST = "check the units first; write `source.unit: mm` if the positions in the file are in mm (now m)"


def judged(hits, model, sigma=SIGMA, unit="m"):
    every = [sigma] * len(model.coordinates)
    judge = FitJudge(model, every, Validation(), 1, own_sigma=False, source_unit=unit)
    return judge.result("nominal", tally_of(model, [1 / each for each in every], hits))


@pytest.mark.parametrize("shift", [0.0, 80e-6])
@pytest.mark.parametrize("cosmic", [False, True])
@pytest.mark.parametrize(("section", "views", "pitch"), [(Track, 1, 0.0), (Track3d, 2, 0.0), (Track3d, 2, 55e-6)])
def test_positions_in_millimetres_are_asked_for_and_no_alignment_is(section, views, pitch, cosmic, shift):
    hits = straight_hits(cosmic, views=views, pitch=pitch)
    hits[:, 1] += shift
    sigma = pitch / np.sqrt(12) or SIGMA
    (reason,) = judged(1e3 * hits, load_model(section(z=Z)), sigma).reasons
    assert FIRST in reason
    assert "(almost exactly 1000) times as wide as stated" in reason
    assert "alignment" not in reason
    reasons = "; ".join(judged(hits, load_model(section(z=Z)), sigma).reasons)
    assert "unit" not in reasons
    assert ("hits of x₁ are" in reasons) == bool(shift)


def test_heights_in_millimetres_are_asked_for_too():
    hits = straight_hits(cosmic=True)
    (reason,) = judged(1e3 * hits, load_model(Track(z=IN_MM))).reasons
    assert FIRST in reason
    assert "model.z span 600 m: if the heights are in mm, write `model.z: [0 mm, 100 mm, …]`" in reason
    (reason,) = judged(hits, load_model(Track(z=IN_MM, theta0=1e-3))).reasons
    assert "times as wide as stated: check the units first; the layers of model.z span 600 m" in reason
    count, sigma = len(Z), 10 * SIGMA
    model = load_model(Track(z=IN_MM, theta0=1e-3))
    of = FitEstimates(tally_of(model, [1 / sigma] * count, straight_hits(cosmic=False)))
    question = unit_question(noise_of(of), model, "m", [sigma] * count)
    assert "check the units first; the layers of model.z span 600 m" in question
    assert "the stated σ" not in question


@pytest.mark.parametrize(
    ("scale", "unit", "sigma", "written"),
    [
        (1e-3, "mm", SIGMA, "`source.unit: m` if the positions in the file are in m (now mm)"),
        (1.0, "m", 1e3 * SIGMA, "write the stated σ with its unit, such as `0.02 mm` (now 20 mm)"),
        (100.0, "m", SIGMA, "`source.unit: cm`"),
        (10.0, "cm", SIGMA, "`source.unit: mm`"),
    ],
)
def test_what_to_write_fits_the_ratio(scale, unit, sigma, written):
    (reason,) = judged(scale * straight_hits(cosmic=False), load_model(Track(z=Z)), sigma, unit).reasons
    assert written in reason


@pytest.mark.parametrize("factor", [1e3, 1e-3])
def test_one_column_in_another_unit_is_named(factor):
    hits = straight_hits(cosmic=False)
    hits[:, 2] *= factor
    (reason,) = judged(hits, load_model(Track(z=Z))).reasons
    assert reason.startswith("hits of x₂ spread by 5")
    assert "check first whether its column is in another unit" in reason


@pytest.mark.parametrize(("widened", "spread"), [(5e-3, 1e-4), (1e-3, 5e-6)])
def test_a_layer_that_is_as_coarse_as_stated_is_in_no_question(widened, spread):
    rng = np.random.default_rng(4)
    sigma = np.full(6, 2e-5)
    sigma[3] = widened
    hits = spread * rng.normal(size=(2000, 1)) + sigma * rng.normal(size=(2000, 6))  # a narrow beam
    hits[:, 1] += 80e-6
    model = load_model(Track(z=Z))
    entry = FitJudge(model, sigma.tolist(), Validation(), 1, own_sigma=False, source_unit="m").result(
        "nominal", tally_of(model, (1 / sigma).tolist(), hits)
    )
    assert entry.reasons[0].startswith("hits of x₁ are ")


def test_one_view_in_another_unit_is_no_question_of_all_positions():
    hits = straight_hits(cosmic=False, views=2)
    hits[:, 6:] *= 1e3
    text = "; ".join(judged(hits, load_model(Track3d(z=Z))).reasons)
    assert "source.unit: mm" not in text
    assert text.startswith("the data want σ = ")
    assert " mm in y₀ (stated 20 µm)" in text


def test_wrong_tracks_and_exchanged_layers_are_no_question_of_units():
    model, hits, rng = load_model(Track(z=Z)), straight_hits(cosmic=True), np.random.default_rng(2)
    wrong = np.stack([rng.permutation(column) for column in hits.T], axis=1)
    assert "units first" not in "; ".join(judged(wrong, model).reasons)
    assert "look exchanged" in judged(hits[:, [0, 2, 1, 3, 4, 5]], model, 1e-6).reasons[0]


def test_none_of_many_correct_studies_is_suspected():
    rng = np.random.default_rng(5)
    for study in range(16):
        layers, views, cosmic = int(rng.integers(3, 7)), int(rng.integers(1, 3)), bool(rng.integers(2))
        z = np.sort(rng.uniform(0, 10 ** rng.uniform(-1.5, 1), layers)).tolist()
        hits = straight_hits(cosmic, z, views, 200, study)
        hits = hits + rng.normal(0, 3e-4, hits.shape[1]) * (study % 3 == 0)  # out of place
        hits[rng.random(hits.shape) < 0.05 * (study % 2)] = np.nan
        model, sigma = load_model((Track, Track3d)[views - 1](z=z)), SIGMA * 2 ** rng.uniform(-1, 1)
        count = len(model.coordinates)
        of = FitEstimates(tally_of(model, [1 / sigma] * count, hits))
        assert not unit_question(noise_of(of), model, "m", [sigma] * count), study
        assert not column_question(of, model), study


def test_a_shift_and_a_wrong_resolution_are_both_named():
    hits, model = straight_hits(cosmic=False, muons=5000), load_model(Track(z=Z))
    hits[:, 3] += SIGMA * np.sqrt(3) * np.random.default_rng(8).normal(size=len(hits))
    hits[:, 1] += 80e-6
    shift, width = judged(hits, model).reasons
    assert shift.startswith("hits of x₁ are ")
    assert "the data want σ = " in width
    assert " µm in x₃ (stated 20 µm); residuals" in width
    assert "x₁" not in width
    hits[np.random.default_rng(3).random(hits.shape) < 0.05] = np.nan  # then a shift changes the widths of other layers
    text = "; ".join(judged(hits, model).reasons)
    assert "only then is it known which resolution the data want, or find both together by `pullback calibrate`" in text


def test_no_cause_is_named_of_what_may_be_chance():
    model = load_model(Track(z=Z, theta0=1e-7))
    by_slope = []
    for seed in range(12):
        entry = judged(straight_hits(cosmic=False, muons=1500, seed=seed), model)
        if entry.verdict == Verdict.INCONCLUSIVE:
            by_slope += [each for each in entry.reasons if "the slope of the track" in each]
    assert by_slope
    for each in by_slope:
        assert "upwards" not in each
        assert each.endswith(" standard errors, this may be chance")
