from types import SimpleNamespace

import numpy as np
import pytest

from pullback.detector.fitted_lines import fitted_lines, hit_sigma
from pullback.detector.known import Known
from pullback.models import load_model

Z = np.array([0.9, 0.0, 0.4, 1.0])
SIGMA = np.array([1e-3, 2e-3, 1e-3, 3e-3])
AT = np.array([-0.5, 0.0, 0.33, 2.0])


def section(name="track", **more):
    return SimpleNamespace(
        **{
            "name": name,
            "z": Z.tolist(),
            "theta0": 0.0,
            "theta0_momentum": None,
            "fit": "gls",
            "at": (),
            "material": None,
            "momentum": None,
            **more,
        }
    )


def by_closed_form(x, sigma):
    """Position and σ of the weighted straight line at `AT`, from the normal equations."""
    seen = np.isfinite(x)
    A = np.stack([np.ones(seen.sum()), Z[seen]], axis=1) / sigma[seen, None]
    C = np.linalg.inv(A.T @ A)
    line = C @ A.T @ (x[seen] / sigma[seen])
    to = np.stack([np.ones_like(AT), AT], axis=1)
    return to @ line, np.sqrt(np.einsum("ij,jk,ik->i", to, C, to))


def test_position_and_sigma_at_any_height_are_those_of_the_closed_form():
    rng = np.random.default_rng(1)
    hits = rng.normal(0, 1, (5, 4))
    hits[1, 0] = hits[2, 1] = hits[3, 3] = np.nan
    (line,) = fitted_lines(load_model(section()), {"resolution": (1 / SIGMA).tolist()}, hits, Known())
    assert line.line.range == (0.0, 1.0)
    expected = [by_closed_form(x, SIGMA) for x in hits]
    np.testing.assert_allclose(line.at(AT), [each for each, _ in expected], rtol=1e-9)
    np.testing.assert_allclose(line.sigma(AT), [each for _, each in expected], rtol=1e-9)


def test_a_muon_without_a_line_has_neither_position_nor_sigma():
    hits = np.array([[0.1, 0.2, 0.3, 0.4], [np.nan, 0.2, np.nan, np.nan]])
    (line,) = fitted_lines(load_model(section()), {"resolution": 1000.0}, hits, Known())
    for found in (line.at(AT), line.sigma(AT)):
        assert np.isfinite(found[0]).all()
        assert np.isnan(found[1]).all()


def test_a_view_that_is_missing_leaves_the_other_as_it_is():
    hits = np.array([[0.1, 0.2, 0.3, 0.4, np.nan, 0.2, np.nan, np.nan]])
    x, y = fitted_lines(load_model(section("track3d")), {"resolution": 1000.0}, hits, Known())
    assert (x.line.view, y.line.view) == ("x", "y")
    assert np.isfinite(x.sigma(AT)).all()
    assert np.isnan(y.sigma(AT)).all()


def test_hits_with_covariances_of_their_own_have_these():
    rng = np.random.default_rng(2)
    hits = rng.normal(0, 1, (3, 4))
    own = np.stack([np.diag(SIGMA**2) * factor for factor in (1.0, 4.0, 9.0)])
    (line,) = fitted_lines(load_model(section()), {"resolution": (1 / SIGMA).tolist()}, hits, Known(own))
    sigma = line.sigma(AT)
    np.testing.assert_allclose(sigma[1:], [2 * sigma[0], 3 * sigma[0]], rtol=1e-9)
    found = hit_sigma(load_model(section()), {"resolution": 1.0}, hits, Known(own))
    np.testing.assert_allclose(found, [SIGMA, 2 * SIGMA, 3 * SIGMA], rtol=1e-12)


def test_scattering_adds_to_the_line_and_not_to_the_hits():
    hits = np.zeros((2, 4))
    (still,), (scattered,) = (
        fitted_lines(load_model(section(theta0=theta0)), {"resolution": 1000.0}, hits, Known()) for theta0 in (0, 0.01)
    )
    assert (scattered.sigma(AT) > still.sigma(AT)).all()
    sigma = hit_sigma(load_model(section(theta0=0.01)), {"resolution": 1000.0}, hits, Known())
    np.testing.assert_allclose(sigma, 1e-3, rtol=1e-12)


def test_the_lines_of_a_scattered_muon_are_those_of_its_own_layers():
    upper, lower = [0.5, 1.0], [-1.0, -0.5]
    model = load_model(section("scatter", z_upper=upper, z_lower=lower))
    hits = np.array([[0.5, 1.0, 2.0, 1.0, 0.0, 0.0, -0.1, -0.2]])  # x = z above, x = −2 z below; y = 0 and −0.3 − 0.2 z
    found = {
        each.line.name: each.at(np.array([0.0, 2.0]))[0] for each in fitted_lines(model, {"sigma": 0.1}, hits, Known())
    }
    expected = {"x above": [0.0, 2.0], "x below": [0.0, -4.0], "y above": [0.0, 0.0], "y below": [-0.3, -0.7]}
    assert found == {name: pytest.approx(values, abs=1e-12) for name, values in expected.items()}
