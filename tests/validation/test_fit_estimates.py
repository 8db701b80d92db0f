import math
from collections.abc import Callable

import numpy as np
import pytest
from fitted_hits import tally_of
from scipy import stats

from pullback.config.model_schema import Track, Track3d
from pullback.models import load_model
from pullback.validation.fit_estimates import FitEstimates, dependences, drift, mean_and_sd

Z = [0.0, 0.2, 0.4, 0.6, 0.8]
MODEL = load_model(Track(z=Z))
SIGMA = 1e-3
SEEDS = 40


def lines(rng: np.random.Generator, muons: int, z: list[float] = Z) -> np.ndarray:
    return rng.uniform(-0.5, 0.5, (muons, 1)) + rng.normal(0, 0.3, (muons, 1)) * np.array(z)


def recorded(rng: np.random.Generator, muons: int, factors=1.0, z: list[float] = Z) -> np.ndarray:
    return lines(rng, muons, z) + SIGMA * np.array(factors) * rng.normal(size=(muons, len(z)))


def pulls_over_seeds(found: Callable[[int], tuple[np.ndarray, np.ndarray]], truth: np.ndarray) -> np.ndarray:
    """Estimate minus truth over the error, by seed."""
    results = [found(seed) for seed in range(SEEDS)]
    return np.array([(value - truth) / error for value, error in results])


def assert_unit(pulls: np.ndarray) -> None:
    """Mean 0 and width 1, to four standard errors."""
    count = len(pulls)
    assert abs(pulls.mean(axis=0)).max() < 4 / math.sqrt(count)
    assert abs(pulls.std(axis=0, ddof=1) - 1).max() < 4 / math.sqrt(2 * count)


def variance_factors(estimates: FitEstimates) -> tuple[np.ndarray, np.ndarray]:
    found = list(estimates.factors())
    assert [each.coordinates for each in found] == [(index,) for index in range(len(found))]
    return np.array([each.ratio.value for each in found]), np.array([each.ratio.se for each in found])


@pytest.mark.parametrize("factors", [[1.0] * 5, [1.0, 1.3, 0.8, 1.0, 1.1]])
def test_the_sigma_of_each_of_five_layers_is_found_within_its_error(factors):
    def found(seed):
        rng = np.random.default_rng(seed)
        return variance_factors(FitEstimates(tally_of(MODEL, 1 / SIGMA, recorded(rng, 1500, factors))))

    assert_unit(pulls_over_seeds(found, np.square(factors)))


def test_so_it_is_with_missing_hits_and_a_sigma_of_each_hit():
    truth = np.array([1.0, 1.2, 1.0, 0.9, 1.0])

    def found(seed):
        rng = np.random.default_rng(seed)
        sigma = SIGMA * rng.uniform(0.5, 1.5, (1500, 5))
        hits = lines(rng, 1500) + truth * sigma * rng.normal(size=sigma.shape)
        hits[rng.random(hits.shape) < 0.1] = np.nan
        return variance_factors(FitEstimates(tally_of(MODEL, 1 / SIGMA, hits, sigma**2)))

    assert_unit(pulls_over_seeds(found, truth**2))


def test_scattering_in_the_layers_is_not_taken_for_resolution():
    """Muons that step through the layers, with an angle at each, whose width the model knows."""
    model, theta0 = load_model(Track(z=Z, theta0=3e-3)), 3e-3

    def found(seed):
        rng = np.random.default_rng(seed)
        x, slope = rng.uniform(-0.5, 0.5, 1500), rng.normal(0, 0.3, 1500)
        hits = np.empty((1500, 5))
        for index in reversed(range(5)):
            hits[:, index] = x
            slope = slope + theta0 * rng.normal(size=1500)
            x = x - 0.2 * slope
        hits += SIGMA * rng.normal(size=hits.shape)
        return variance_factors(FitEstimates(tally_of(model, 1 / SIGMA, hits)))

    assert_unit(pulls_over_seeds(found, np.ones(5)))


def test_four_layers_have_a_common_factor_and_one_that_is_worse_alone_is_more_likely():
    z = [0.0, 0.2, 0.4, 0.6]
    model = load_model(Track(z=z))
    rng = np.random.default_rng(1)
    together, alone = FitEstimates(tally_of(model, 1 / SIGMA, recorded(rng, 20_000, 1.5, z))).factors()
    assert together.coordinates == (0, 1, 2, 3)
    assert together.width.value == pytest.approx(1.5, abs=4 * together.width.se)
    assert together.width.se < 0.01
    assert alone.gain < together.gain
    together, alone = FitEstimates(tally_of(model, 1 / SIGMA, recorded(rng, 20_000, [1, 1, 1.3, 1], z))).factors()
    assert alone.coordinates == (2,)
    assert alone.width.value == pytest.approx(1.3, abs=4 * alone.width.se)
    assert alone.gain > together.gain + 20


def test_offsets_are_those_of_the_layers_but_for_mean_and_tilt():
    offsets = 1e-4 * np.array([0.0, 3.0, -1.0, 2.0, 0.0])
    seen = offsets - np.polyval(np.polyfit(Z, offsets, 1), Z)

    def found(seed):
        rng = np.random.default_rng(seed)
        estimates = FitEstimates(tally_of(MODEL, 1 / SIGMA, recorded(rng, 1500) + offsets))
        ((component, value, covariance),) = estimates.offsets()
        assert component.tolist() == [0, 1, 2, 3, 4]
        return SIGMA * value, SIGMA * np.sqrt(covariance.diagonal())

    assert_unit(pulls_over_seeds(found, seen))


def test_wrong_tracks_change_neither_the_median_nor_what_the_data_want_by_much():
    rng = np.random.default_rng(5)
    hits = recorded(rng, 20_000)
    wrong = rng.random(20_000) < 0.03
    hits[wrong] += 0.05 * rng.normal(size=(wrong.sum(), 5))
    estimates = FitEstimates(tally_of(MODEL, 1 / SIGMA, hits))
    assert estimates.chi2_per_ndf.value > 10
    assert estimates.wrong_tracks == pytest.approx(0.03, abs=0.005)
    assert 0.03 < estimates.left_out < 0.05
    assert math.sqrt(estimates.median.value) == pytest.approx(1, abs=0.03)
    value, _ = variance_factors(estimates)
    np.testing.assert_allclose(np.sqrt(value), 1, atol=0.05)


def test_without_wrong_tracks_nothing_is_left_out():
    estimates = FitEstimates(tally_of(MODEL, 1 / SIGMA, recorded(np.random.default_rng(2), 20_000, 2.0)))
    assert estimates.outliers > 1000  # by the stated resolution
    assert abs(estimates.wrong_tracks) < 1e-3
    assert estimates.left_out == 0


def test_chi2_and_its_median_have_the_errors_that_their_distribution_gives():
    rng = np.random.default_rng(3)
    found = [FitEstimates(tally_of(MODEL, 1 / SIGMA, recorded(rng, 1500))) for _ in range(SEEDS)]
    assert_unit(np.array([[(each.chi2_per_ndf.value - 1) / each.chi2_per_ndf.se] for each in found]))
    assert_unit(np.array([[(each.median.value - 1) / each.median.se] for each in found]))
    assert sum(each.p_values.sum() for each in found) == SEEDS * 1500
    assert stats.chisquare(sum(each.p_values for each in found)).pvalue > 1e-3


def test_changes_with_slope_position_and_muon_number_are_told_apart():
    rng, muons = np.random.default_rng(4), 20_000
    x, slope, number = rng.uniform(-0.5, 0.5, muons), rng.normal(0, 0.3, muons), np.linspace(-0.5, 0.5, muons)
    hits = x[:, None] + slope[:, None] * Z + SIGMA * rng.normal(size=(muons, 5))
    plain = FitEstimates(tally_of(MODEL, 1 / SIGMA, hits))
    for index in range(5):
        for each in dependences(plain.sums(), index).effects.values():
            assert abs(each.value) < 4.5 * each.se
    for spoilt, name in ((slope, "t"), (x + slope * Z[2], "x"), (number, "n")):
        moved = hits.copy()
        moved[:, 2] += 1e-3 * spoilt / spoilt.std()
        sums = FitEstimates(tally_of(MODEL, 1 / SIGMA, moved)).sums()
        effects, explained = dependences(sums, 2)
        _, sd = mean_and_sd(sums, 2, "m")
        assert effects.keys() == {"x", "t", "n"}
        assert max(effects, key=lambda each: abs(effects[each].value)) == name
        expected = 1e-3 / (SIGMA * math.sqrt(1 + 1 / 4))  # σ of the unbiased residual: four others predict the middle
        assert effects[name].value == pytest.approx(expected, abs=0.02)
        assert explained == pytest.approx(expected**2 / (1 + expected**2), abs=0.01)
        assert sd.value == pytest.approx(math.hypot(1e-3, SIGMA * math.sqrt(1.25)), rel=0.02)


def test_a_rotated_layer_changes_residuals_with_the_other_view():
    model = load_model(Track3d(z=Z))
    rng = np.random.default_rng(6)
    hits = np.concatenate([recorded(rng, 5000), recorded(rng, 5000)], axis=1)
    hits[:, 7] += 5e-3 * hits[:, 2]  # y of the third layer, by x
    estimates = FitEstimates(tally_of(model, 1 / SIGMA, hits))
    effects = dependences(estimates.sums(), 7).effects
    assert effects["o"].value > 0.5
    assert abs(effects["x"].value) < 5 * effects["x"].se
    assert [each.tolist() for each in estimates.components] == [[0, 1, 2, 3, 4], [5, 6, 7, 8, 9]]


def test_a_drift_of_any_shape_is_seen():
    rng = np.random.default_rng(7)
    hits = recorded(rng, 20_000)
    assert abs(drift(FitEstimates(tally_of(MODEL, 1 / SIGMA, hits)).drift_sums[:, 2], 1.0).value) < 0.001
    hits[:, 2] += 5e-4 * np.sin(np.linspace(0, 4 * math.pi, 20_000))
    found = drift(FitEstimates(tally_of(MODEL, 1 / SIGMA, hits)).drift_sums[:, 2], 1.1)
    assert math.sqrt(found.value) == pytest.approx(5e-4 / math.sqrt(2) / (SIGMA * math.sqrt(1.25)), rel=0.1)
