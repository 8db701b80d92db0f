import math
from functools import partial

import numpy as np
import pytest
import torch

from pullback import propagate
from pullback.uncertainty.closed_form import (
    ClosedForm,
    closed_form_of,
    differentiate_in_closed_form,
    propagate_in_closed_form,
)

GAIN = np.array([[1.0, 2.0, 0.0], [0.0, -1.0, 0.5], [3.0, 0.0, 1.0]])


def curved(u):
    """A product of the first two quantities; and exp of the third, with one more of all: two groups."""
    a, b, c = u
    zero, one = np.zeros_like(a), np.ones_like(a)
    first = np.stack([b, a])[None]
    second = np.stack([np.stack([zero, zero, np.exp(c)]), np.stack([one, 2 * b, -one])])
    return np.stack([a * b, np.exp(c), a + b * b - c]), [first, second]


FORM = ClosedForm(GAIN, curved, (None, 2, None, 0, None))


def by_hand(hits, sigma_x):
    """y, J Σ Jᵀ and J of one muon, row by row."""
    a, b, c = (sum(GAIN[q, k] * hits[k] for k in range(3)) for q in range(3))
    by_u = [[b, a, 0], [0, 0, 1], [0, 0, math.exp(c)], [1, 0, 0], [1, 2 * b, -1]]
    jacobian = np.array([[sum(row[q] * GAIN[q, k] for q in range(3)) for k in range(3)] for row in by_u])
    return [a * b, c, math.exp(c), a, a + b * b - c], jacobian @ sigma_x @ jacobian.T, jacobian


MATRIX = np.array([[2.0, 0.5, 0.1], [0.5, 1.0, -0.2], [0.1, -0.2, 3.0]])


@pytest.mark.parametrize("muons", [1, 2, 33, 100])
@pytest.mark.parametrize("kind", ["a number", "variances", "a matrix"])
def test_the_law_by_hand(muons, kind, monkeypatch):
    sigma_x = {"a number": 0.3, "variances": np.array([[0.1, 0.2, 0.3]]), "a matrix": MATRIX[None]}[kind]
    full = {"a number": 0.3 * np.eye(3), "variances": np.diag([0.1, 0.2, 0.3]), "a matrix": MATRIX}[kind]
    hits = np.random.default_rng(muons).normal(size=(muons, 3))
    monkeypatch.setattr("pullback.uncertainty.closed_form.NUMBERS_TOGETHER", 1)  # 32 muons
    form = ClosedForm(*vars(FORM).values())
    found = propagate_in_closed_form(form, hits, sigma_x)
    value, jacobian = differentiate_in_closed_form(form, hits)
    assert form.muons_at_a_time == 32
    for muon in range(muons):
        y, covariance, jac = by_hand(hits[muon], full)
        scale = np.sqrt(np.outer(covariance.diagonal(), covariance.diagonal()))
        np.testing.assert_allclose(found.value[muon], y, rtol=1e-12, atol=1e-14)
        np.testing.assert_allclose(found.covariance[muon] / scale, covariance / scale, rtol=0, atol=1e-13)
        np.testing.assert_allclose(found.sigma[muon], np.sqrt(covariance.diagonal()), rtol=1e-13)
        np.testing.assert_allclose(value[muon], y, rtol=1e-12, atol=1e-14)
        np.testing.assert_allclose(jacobian[muon], jac, rtol=1e-12, atol=1e-13)


def test_an_observable_that_is_not_finite_has_no_uncertainty_and_leaves_the_others():
    form = ClosedForm(np.eye(1), lambda u: (np.log(u), [np.ones((1, 1, u.shape[1]))]), (0, None))
    with np.errstate(all="ignore"):
        found = propagate_in_closed_form(form, np.array([[1.0], [-1.0], [0.0]]), 0.04)
    assert np.isnan(found.sigma).tolist() == [[False, False], [False, True], [False, True]]
    assert np.isnan(found.covariance[1]).tolist() == [[False, True], [True, True]]
    assert found.sigma[1, 0] == 0.2


@pytest.mark.parametrize("bad", [math.nan, math.inf, 1e200])
def test_hits_that_are_not_finite_or_whose_squares_are_not_are_left_to_others(bad):
    hits = np.ones((5, 3))
    hits[4, 1] = bad
    assert propagate_in_closed_form(FORM, hits, 0.1) is None
    assert differentiate_in_closed_form(FORM, hits) is None


class Own:
    """An inference of a user's with a closed form of its own."""

    def __init__(self):
        self.calls = 0

    def __call__(self, hits):
        self.calls += 1
        return hits[:, :1] * hits[:, 1:]

    def closed_form(self):
        return ClosedForm(np.eye(2), lambda u: (u[:1] * u[1:], [u[None, ::-1]]), (None,))


def test_an_inference_of_a_users_may_have_one():
    infer = Own()
    found = propagate(infer, torch.tensor([[2.0, 3.0]], dtype=torch.float64), sigma=0.1)
    assert infer.calls == 0
    assert found.value.item() == 6
    assert found.sigma.item() == pytest.approx(0.1 * math.sqrt(13), rel=1e-14)


def test_a_plain_function_has_none():
    assert closed_form_of(lambda hits: hits) is None
    assert closed_form_of(partial(lambda hits, a: hits, a=1.0)) is None
