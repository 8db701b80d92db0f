from functools import partial

import numpy as np
import pytest
import torch

from pullback import infer_theta
from pullback.models.scatter import infer_scatter
from pullback.models.track import infer_track
from pullback.models.track3d import infer_track3d
from pullback.uncertainty.folds import Fold, Folding, fold_distance, folding_of, moved
from pullback.uncertainty.jacobians import value_and_jacobian

DOUBLE = torch.float64
RNG = np.random.default_rng(1)
TRACK = {"z": [0.0, 0.4, 1.0], "resolution": [1e3, 2e3, 1e3]}
TRACKERS = {"z_upper": [0.6, 0.8, 1.0], "z_lower": [-0.6, -0.8, -1.0], "resolution": [1e3] * 6}
INFERENCES = {
    "one_hit": (partial(infer_theta, dz=2.0), 1),
    "track": (partial(infer_track, **TRACK), 3),
    "track3d": (partial(infer_track3d, **TRACK), 6),
    "scatter": (partial(infer_scatter, **TRACKERS), 12),
}


def tensor(numbers):
    return torch.as_tensor(numbers, dtype=DOUBLE)


@pytest.mark.parametrize("name", INFERENCES)
def test_an_observable_that_folds_depends_on_nothing_but_its_signed_quantities(name):
    infer, coordinates = INFERENCES[name]
    hits = tensor(RNG.normal(size=(500, coordinates)))
    folding, value = folding_of(infer), infer(hits)
    signed = folding.signed(hits)
    for fold, observable in zip(folding.folds, value.unbind(1), strict=True):
        if fold is None:
            continue
        a, *b = signed[:, list(fold.signed)].numpy().T
        if fold.azimuth:
            np.testing.assert_allclose(observable, np.arctan2(*b, a), rtol=1e-13)
            continue
        order = np.argsort(np.hypot(a, b[0]) if b else np.abs(a))
        assert (np.diff(observable.numpy()[order]) > -1e-14).all()
        assert np.ptp(observable.numpy()) > 0.3


def test_a_partial_binds_its_arguments_to_the_signed_quantities_too():
    hits = tensor([[1.0], [-3.0]])
    assert folding_of(partial(infer_theta, dz=2.0)).signed(hits).tolist() == [[0.5], [-1.5]]
    assert folding_of(partial(partial(infer_theta, dz=1.0), dz=4.0)).signed(hits).tolist() == [[0.25], [-0.75]]
    assert folding_of(lambda h: h) is None
    assert folding_of(partial(lambda h, k: h, k=1)) is None


def test_signed_quantities_that_are_observables_are_their_columns():
    for name in ("track", "track3d"):
        infer, coordinates = INFERENCES[name]
        hits, folding = tensor(RNG.normal(size=(20, coordinates))), folding_of(infer)
        assert torch.equal(folding.signed(hits), infer(hits)[:, list(folding.observables)])


def test_a_folding_has_an_entry_for_each_observable():
    assert folding_of(INFERENCES["one_hit"][0]).folds == (Fold((0,)),)
    assert folding_of(INFERENCES["track"][0]).folds == (None, Fold((0,)), None)
    assert folding_of(INFERENCES["track3d"][0]).folds == (Fold((0, 1)), Fold((0, 1), azimuth=True), None, None)
    scatter = folding_of(INFERENCES["scatter"][0])
    assert scatter.folds == (Fold((0, 1)), Fold((2, 3)), None, None, Fold((4, 5)), None, None, None)
    assert scatter.undeclared == ()
    assert isinstance(scatter, Folding)


@pytest.mark.parametrize("quantities", [1, 2])
def test_the_distance_is_that_of_mahalanobis(quantities):
    s, root = RNG.normal(size=(50, quantities)), RNG.normal(size=(50, quantities, quantities))
    covariance = root @ root.transpose(0, 2, 1) + 0.01 * np.eye(quantities)
    expected = [np.sqrt(v @ np.linalg.inv(c) @ v) for v, c in zip(s, covariance, strict=True)]
    np.testing.assert_allclose(fold_distance(tensor(s), tensor(covariance)), expected, rtol=1e-11)
    shared = fold_distance(tensor(s), tensor(covariance[:1]))
    assert shared[0] == fold_distance(tensor(s[:1]), tensor(covariance[:1]))[0]


def test_a_muon_without_uncertainty_is_infinitely_far_from_its_fold():
    for s in ([[0.1]], [[0.1, 0.0]]):
        at = tensor(s)
        none = torch.zeros(1, at.shape[1], at.shape[1], dtype=DOUBLE)
        assert fold_distance(at, none).tolist() == [float("inf")]
        assert fold_distance(0 * at, none).tolist() == [0.0]


@pytest.mark.parametrize("matrix", [False, True])
def test_hits_are_moved_by_as_little_as_possible(matrix):
    """Against the least squares of scipy's kind: the minimum of (h' − h)ᵀ Σ⁻¹ (h' − h) with s(h') given."""
    infer, coordinates = INFERENCES["track3d"]
    signed = folding_of(infer).signed
    hits, target = tensor(RNG.normal(size=(7, coordinates))), tensor(RNG.normal(size=(7, 2)))
    root = RNG.normal(size=(7, coordinates, coordinates))
    sigma_x = tensor(root @ root.transpose(0, 2, 1)) if matrix else tensor(RNG.uniform(0.5, 2, size=(7, coordinates)))
    s, jacobian, _ = value_and_jacobian(signed, hits)
    found = moved(hits, s, jacobian, sigma_x, target)
    torch.testing.assert_close(signed(found), target, rtol=0, atol=1e-13)
    for muon in range(7):
        full = sigma_x[muon].numpy() if matrix else np.diag(sigma_x[muon].numpy())
        off, rows = (found - hits)[muon].numpy(), jacobian[muon].numpy()
        free = np.linalg.svd(rows)[2][2:]  # directions that change no signed quantity
        np.testing.assert_allclose(free @ np.linalg.solve(full, off), 0, atol=1e-9)


def test_a_second_step_reaches_the_target_where_s_is_not_linear():
    infer, _ = INFERENCES["scatter"]
    signed = folding_of(infer).signed
    lines = RNG.normal(size=(100, 4)) * [0.6, 0.6, 1e-3, 1e-3]
    z = [np.array(TRACKERS[key]) for key in ("z_upper", "z_lower")]
    views = [
        at[:, None] * height
        for view in (0, 1)
        for at, height in zip((lines[:, view], lines[:, view] + lines[:, view + 2]), z, strict=True)
    ]
    hits = tensor(np.concatenate(views, axis=1))
    s, jacobian, _ = value_and_jacobian(lambda h: signed(h)[:, 4:], hits)
    target, sigma_x = s + 2e-3, torch.full((1, 12), 1e-6, dtype=DOUBLE)
    once, twice = (moved(hits, s, jacobian, sigma_x, target, refine) for refine in (None, lambda h: signed(h)[:, 4:]))
    off = [(signed(at)[:, 4:] - target).abs().max().item() for at in (once, twice)]
    assert off[0] > 1e-9
    assert off[1] < 1e-12
    assert off[1] < off[0] / 100
