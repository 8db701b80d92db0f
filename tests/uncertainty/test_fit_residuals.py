import math
from functools import partial
from itertools import product

import numpy as np
import pytest
import torch
from scipy import linalg, stats

from pullback import fit_residuals
from pullback.models import scatter, track
from pullback.models.multiple_scattering import layer_covariance
from pullback.uncertainty import fit_residuals as module

Z = np.array([0.0, 0.2, 0.5, 0.9])
RESOLUTION = np.array([1000.0, 500.0, 2000.0, 800.0])
LINE = partial(track.fitted, z=Z.tolist(), resolution=RESOLUTION.tolist())
RNG = np.random.default_rng(3)
HITS = 0.1 + 0.3 * Z + RNG.normal(size=(6, 4)) / RESOLUTION
SCATTERED = np.diag(RESOLUTION**-2.0) + layer_covariance(torch.tensor(Z), 2e-3).numpy()


def gls(hits, z, covariance):
    """χ² of generalized least squares by scipy's Cholesky factor and numpy's least squares on the design matrix."""
    root = linalg.cholesky(covariance, lower=True)
    design, values = (linalg.solve_triangular(root, each, lower=True) for each in (np.vander(z, 2), hits))
    _, square, _, _ = np.linalg.lstsq(design, values, rcond=None)
    return square[0]


def left_out(hits, z, weights, index):
    """What a line through the other hits, fitted with these weights, predicts for a hit."""
    kept = np.arange(len(z)) != index
    return np.polyval(np.polyfit(z[kept], hits[kept], 1, w=weights[kept]), z[index])


@pytest.mark.parametrize("linear", [True, False])
@pytest.mark.parametrize("covariance", [np.diag(RESOLUTION**-2.0), SCATTERED], ids=["layers", "scattering"])
def test_chi2_is_that_of_generalized_least_squares_whatever_the_weights(covariance, linear):
    found = fit_residuals(LINE, HITS, covariance=covariance[None], linear=linear)
    expected = [gls(each, Z, covariance) for each in HITS]
    np.testing.assert_allclose(found.chi2, expected, rtol=1e-9)
    assert (found.ndf == 2).all()
    np.testing.assert_allclose(found.p_value, stats.chi2.sf(expected, 2), rtol=1e-9)


@pytest.mark.parametrize("covariance", [np.diag(RESOLUTION**-2.0), SCATTERED], ids=["layers", "scattering"])
def test_an_unbiased_residual_is_that_of_a_fit_without_the_hit(covariance):
    found = fit_residuals(LINE, HITS, covariance=covariance[None], linear=True)
    expected = [[hits[k] - left_out(hits, Z, RESOLUTION, k) for k in range(4)] for hits in HITS]
    np.testing.assert_allclose(found.residual, expected, rtol=1e-9, atol=1e-15)
    # Its σ, from the coefficients of the refit: the residuals of the columns of the unit matrix.
    rows = np.array([[hits[k] - left_out(hits, Z, RESOLUTION, k) for hits in np.eye(4)] for k in range(4)])
    np.testing.assert_allclose(found.sigma[0], np.sqrt(np.diag(rows @ covariance @ rows.T)), rtol=1e-9)


def test_missing_hits_are_left_out_pattern_by_pattern():
    hits = np.repeat(HITS, 3, axis=0)
    hits[RNG.random(hits.shape) < 0.4] = math.nan
    hits[0], hits[1, :3] = math.nan, math.nan
    found = fit_residuals(LINE, hits, covariance=SCATTERED[None], linear=True)
    for index, each in enumerate(hits):
        seen = np.isfinite(each)
        if seen.sum() < 2:
            assert math.isnan(found.chi2[index])
            assert math.isnan(found.ndf[index])
            continue
        assert found.ndf[index] == seen.sum() - 2
        if seen.sum() == 2:
            assert np.isnan(found.p_value[index])
            assert np.isnan(found.residual[index]).all()
            continue
        expected = gls(each[seen], Z[seen], SCATTERED[np.ix_(seen, seen)])
        assert found.chi2[index] == pytest.approx(expected, rel=1e-9)
        for k in np.flatnonzero(seen):
            rest = left_out(each[seen], Z[seen], RESOLUTION[seen], seen[:k].sum())
            assert found.residual[index, k] == pytest.approx(each[k] - rest, rel=1e-9, abs=1e-15)
        assert np.isnan(found.residual[index, ~seen]).all()


@pytest.mark.parametrize("matrices", [False, True])
def test_each_muon_has_its_own_covariance(matrices):
    sigma = RNG.uniform(0.5, 2, HITS.shape) / RESOLUTION
    each = np.array([np.diag(row**2) + 0.3 * SCATTERED * matrices for row in sigma])
    found = fit_residuals(LINE, HITS, covariance=each if matrices else sigma**2, linear=True)
    expected = [gls(hits, Z, own) for hits, own in zip(HITS, each, strict=True)]
    np.testing.assert_allclose(found.chi2, expected, rtol=1e-9)


@pytest.mark.parametrize("infinite", [[1], [1, 4], [0, 1, 2, 3, 4, 5]])
def test_a_muon_with_an_infinite_covariance_has_no_fit_and_the_others_keep_theirs(infinite):
    """As the scattering of a track that is almost horizontal; muon 1 is alone with its pattern of hits."""
    hits = torch.from_numpy(HITS.copy())
    hits[1, 0] = math.nan
    every = torch.from_numpy(SCATTERED).repeat(6, 1, 1)
    right = list(module.FitGroups(LINE, True).of(hits, every))
    every[infinite] = math.inf
    found = list(module.FitGroups(LINE, True).of(hits, every))
    chi2 = [
        {row: value for each in groups for row, value in zip(each.rows.tolist(), each.chi2, strict=True)}
        for groups in (right, found)
    ]
    assert chi2[1].keys() == {*range(6)} - {*infinite}
    for row, value in chi2[1].items():
        assert value == chi2[0][row]


def test_views_that_have_a_line_count_without_those_that_have_none():
    fitted = partial(scatter.fitted, z_upper=[3.0, 2.0, 1.0], z_lower=[-1.0, -2.0, -3.0], resolution=[100.0] * 6)
    hits = RNG.normal(size=(1, 12)) * 0.01
    whole = fit_residuals(fitted, hits, sigma=0.01, linear=True)
    assert whole.ndf.tolist() == [4.0]
    hits[0, 3:5] = math.nan  # of three in the lower view x, one is left
    found = fit_residuals(fitted, hits, sigma=0.01, linear=True)
    assert found.ndf.tolist() == [3.0]
    np.testing.assert_allclose(found.residual[0, 6:], whole.residual[0, 6:], rtol=1e-12)
    assert np.isnan(found.residual[0, 3:6]).all()


def test_chi2_of_a_curved_fit_is_that_of_its_tangent():
    """A fit of one parameter a, h = (a, a²): near the curve, χ² is the square of the distance along its normal."""

    def fitted(hits):
        a = hits[:, 0].detach()
        for _ in range(30):  # Newton's method for the point of the curve that is nearest
            off, slope = hits - torch.stack([a, a**2], 1), torch.stack([torch.ones_like(a), 2 * a], 1)
            a = a + (off * slope).sum(1) / ((slope**2).sum(1) - 2 * off[:, 1])
        return torch.stack([a, a**2], 1)

    a = np.array([0.3, -1.2])
    normal = np.stack([-2 * a, np.ones(2)], axis=1) / np.sqrt(1 + 4 * a**2)[:, None]
    hits = np.stack([a, a**2], axis=1) + 2e-6 * normal
    found = fit_residuals(fitted, hits, covariance=np.full((1, 2), 1e-12))
    np.testing.assert_allclose(found.chi2, 4, rtol=1e-4)
    assert found.ndf.tolist() == [1.0, 1.0]


def test_p_values_and_pulls_of_gaussian_noise():
    hits = 0.1 + RNG.normal(size=(20_000, 1)) * Z + RNG.multivariate_normal(np.zeros(4), SCATTERED, 20_000)
    found = fit_residuals(LINE, hits, covariance=SCATTERED[None], linear=True)
    assert stats.kstest(found.p_value, "uniform").pvalue > 1e-3
    pulls = found.residual / found.sigma
    np.testing.assert_allclose(pulls.std(axis=0), 1, atol=4 / math.sqrt(40_000))
    np.testing.assert_allclose(pulls.mean(axis=0), 0, atol=4 / math.sqrt(20_000))


def test_as_many_parameters_as_hits_leave_nothing_to_test():
    line = partial(track.fitted, z=[0.0, 1.0], resolution=[100.0, 100.0])
    found = fit_residuals(line, torch.tensor([[0.1, 0.4]], dtype=torch.float64), sigma=0.01, linear=True)
    assert found.ndf.tolist() == [0.0]
    assert found.chi2.tolist() == [0.0]
    assert found.p_value.isnan().all()
    assert found.residual.isnan().all()


def test_muons_do_not_depend_on_how_many_there_are(monkeypatch):
    sigma = RNG.uniform(0.5, 2, HITS.shape) / RESOLUTION
    whole = fit_residuals(LINE, HITS, sigma=sigma, linear=True)
    monkeypatch.setattr(module, "ENTRIES_AT_A_TIME", 32)
    for one, other in zip(whole, fit_residuals(LINE, HITS, sigma=sigma, linear=True), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-12)


def test_hits_whose_predictions_overflow_have_no_fit_and_the_others_keep_theirs():
    z = [0.5, 2.0, 3.0]
    line = partial(track.fitted, z=z, resolution=[1e-5] * 3)
    right = np.array([[0.1, 0.2, 0.4], [1.0, 2.0, 2.0]])
    huge = np.array(list(product([1.7e308, 1e308, -1.7e308, math.nan, 0.1], repeat=3)))
    found, alone = (
        fit_residuals(line, hits, covariance=1e10 * np.eye(3)[None], linear=True)
        for hits in (np.concatenate([right, huge]), right)
    )
    np.testing.assert_array_equal(found.chi2[:2], alone.chi2)
    assert np.isnan(found.chi2[2:][np.isnan(huge).sum(axis=1) > 1]).all()
