"""Alignment of layers by tracks, against normal equations with all track parameters, and pseudo-experiments."""

from functools import cache, partial

import numpy as np
import pytest
import torch

from pullback.models.track3d import fitted
from pullback.uncertainty import alignment
from pullback.uncertainty.alignment import (
    Diverged,
    Parameter,
    TrackGroup,
    Undetermined,
    align_layers,
    chi2_of,
    residuals_of,
)
from pullback.uncertainty.fit_residuals import FitGroups
from pullback.uncertainty.placement import Coordinates, Placement

Z = np.array([0.0, 0.02, 0.07, 0.11, 0.13])
LAYERS = len(Z)
OF = Coordinates.of(2 * tuple(range(LAYERS)), [f"{view}{layer}" for view in "xy" for layer in range(LAYERS)])
SIGMA = np.repeat([72e-6, 14e-6], LAYERS)
KINDS = ("x", "y", "rotation", "scale_x", "scale_y")
INNER = [1, 2, 3]


def free_of(*kinds, layers=INNER):
    return [Parameter(kind, layer) for layer in layers for kind in kinds]


@cache
def whole_tracks(tracks):
    """Tracks with all hits."""
    return groups_of(np.zeros((tracks, 2 * LAYERS)))


def groups_of(hits, covariance=None):
    covariance = SIGMA[None] ** 2 if covariance is None else covariance
    line = partial(fitted, z=Z.tolist(), resolution=torch.from_numpy(1 / SIGMA))
    found = []
    for group in FitGroups(line, linear=True).of(torch.from_numpy(hits), torch.from_numpy(covariance)):
        used, rows = group.used.numpy(), group.rows.numpy()
        own = covariance if len(covariance) == 1 else covariance[rows]
        own = own[:, used] if own.ndim == 2 else own[:, used][:, :, used]
        if group.ndf:
            found.append(TrackGroup(rows, used, group.shape.white.numpy(), own))
    return found


def draw_true(rng, kinds):
    sizes = {"x": 200e-6, "y": 200e-6, "rotation": 5e-3, "scale_x": 5e-3, "scale_y": 5e-3}
    return {
        kind: np.where(np.isin(range(LAYERS), INNER), rng.normal(0, sizes[kind], LAYERS), 0.0).tolist()
        for kind in kinds
    }


def lines(rng, tracks, spread=2e-3):
    position, slope = rng.normal(0, 5e-3, (tracks, 2)), rng.normal(0, spread, (tracks, 2))
    return np.concatenate([position[:, [view]] + slope[:, [view]] * Z for view in range(2)], axis=1)


def draw_hits(rng, tracks, true, *, width=1.0, wrong=0.0, lost=0.0):
    """Hits of layers that are not in place, with a share of wrong combinations of hits and of lost hits."""
    hits = Placement.by_layer(OF, true).from_frame(lines(rng, tracks)) + width * SIGMA * rng.standard_normal(
        (tracks, 10)
    )
    bad = rng.random(tracks) < wrong
    hits[bad] = rng.normal(0, 5e-3, (bad.sum(), 10))
    hits[np.tile(rng.random((tracks, LAYERS)) < lost, 2)] = np.nan
    return hits


def pulls_of(seed, experiments, tracks, kinds, **how):
    rng, free, found = np.random.default_rng(seed), free_of(*kinds), []
    for _ in range(experiments):
        true = draw_true(rng, kinds)
        hits = draw_hits(rng, tracks, true, **how)
        aligned = align_layers(hits, groups_of(hits) if how.get("lost") else whole_tracks(tracks), OF, free)
        off = aligned.value - [true[kind][layer] for kind, layer in free]
        found.append(off / np.sqrt(aligned.covariance.diagonal()))
    return np.array(found)


@pytest.mark.parametrize("how", [{}, {"width": 1.5, "wrong": 0.25}], ids=["honest", "wider, and wrong tracks"])
def test_200_pseudo_experiments(how):
    """Pulls have mean 0 and width 1 for each of 15 parameters; limits of 4 standard errors."""
    pulls = pulls_of(1, 200, 400, KINDS, **how)
    assert abs(pulls.mean(axis=0)).max() < 4 / np.sqrt(200)
    assert abs(pulls.std(axis=0, ddof=1) - 1).max() < 4 / np.sqrt(400)
    assert abs(pulls.std() - 1) < 4 / np.sqrt(2 * pulls.size)


def test_pulls_with_lost_hits():
    pulls = pulls_of(2, 15, 400, ("x", "y", "rotation"), lost=0.1, wrong=0.1)
    assert abs(pulls.mean(axis=0)).max() < 4 / np.sqrt(15)
    assert abs(pulls.std() - 1) < 4 / np.sqrt(2 * pulls.size)


def test_offsets_are_those_of_normal_equations_with_all_track_parameters():
    """Without robust weights: of tracks that all have a χ² far below the cut, the weights are almost 1."""
    rng = np.random.default_rng(3)
    true = draw_true(rng, ("x", "y"))
    hits = draw_hits(rng, 60, true, width=1e-3)
    aligned = align_layers(hits, groups_of(hits), OF, free_of("x", "y"))
    # χ² of all hits, with 4 parameters for each track and 6 offsets; weights are those that were found.
    design, wanted, weights = [], [], []
    for track in range(60):
        for c in range(10):
            row = np.zeros(4 * 60 + 6)
            row[4 * track + 2 * (c // 5) : 4 * track + 2 * (c // 5) + 2] = 1, Z[c % 5]
            if c % 5 in INNER:
                row[240 + 2 * (c % 5 - 1) + c // 5] = -1
            design.append(row / SIGMA[c])
            wanted.append(hits[track, c] / SIGMA[c])
            weights.append(np.sqrt(aligned.weight[track]))
    weights = np.array(weights)
    best = np.linalg.lstsq(np.array(design) * weights[:, None], np.array(wanted) * weights, rcond=None)[0][240:]
    np.testing.assert_allclose(aligned.value, best, rtol=0, atol=2e-3 * 72e-9 / np.sqrt(60))


def test_the_covariance_is_that_of_the_stated_widths_where_they_are_right():
    """By the formula of a layer between two others: σ² (1 + (1 − f)² + f²)/n for three layers."""
    rng, n = np.random.default_rng(4), 40_000
    hits = draw_hits(rng, n, {})
    hits[:, [1, 3, 6, 8]] = np.nan
    f = Z[2] / Z[4]
    aligned = align_layers(hits, groups_of(hits), OF, free_of("x", "y", layers=[2]))
    expected = np.array([72e-6, 14e-6]) ** 2 * (1 + (1 - f) ** 2 + f**2) / n
    # Tukey's weights lose a few % of the information.
    ratio = aligned.covariance.diagonal() / expected
    assert ((ratio > 0.97) & (ratio < 1.12)).all()
    assert abs(aligned.covariance[0, 1]) < 0.02 * np.sqrt(np.prod(aligned.covariance.diagonal()))
    assert aligned.width == pytest.approx(1, abs=0.01)


def test_residuals_and_chi2_by_hand():
    """The middle one of three layers is 30 µm off the line through the others, in x."""
    hits = np.full((1, 10), np.nan)
    hits[0, [0, 2, 4, 5, 7, 9]] = 0.0
    hits[0, 2] = 30e-6
    (group,) = groups_of(hits)
    f = Z[2] / Z[4]
    assert residuals_of(group, hits)[0, 1] == pytest.approx(30e-6)
    assert chi2_of(group, hits)[0] == pytest.approx((30 / 72) ** 2 / (1 + (1 - f) ** 2 + f**2))


def test_most_tracks_may_look_wrong_before_alignment():
    """Layers are out of place by hundreds of σ, and 30 % of tracks are wrong."""
    rng = np.random.default_rng(5)
    true = {
        "x": [0.0, 5e-3, -3e-3, 4e-3, 0.0],
        "y": [0.0, -4e-3, 5e-3, 2e-3, 0.0],
        "rotation": [0.0, 0.05, -0.03, 0.02, 0.0],
    }
    hits = draw_hits(rng, 2000, true, wrong=0.3)
    free = free_of("x", "y", "rotation")
    aligned = align_layers(hits, groups_of(hits), OF, free)
    off = (aligned.value - [true[kind][layer] for kind, layer in free]) / np.sqrt(aligned.covariance.diagonal())
    assert abs(off).max() < 4
    assert np.mean(aligned.weight > 0) == pytest.approx(0.7, abs=0.04)


def test_hits_that_each_have_their_own_sigma_count_by_it():
    """σ² of the offset is 1/Σ 1/(σ² (1 + q)), where the other four layers predict a hit to σ √q."""
    rng = np.random.default_rng(6)
    width = SIGMA * rng.choice([1.0, 30.0], (3000, 1))
    hits = Placement.by_layer(OF, {"x": [0.0, 1e-4, 0.0, 0.0, 0.0]}).from_frame(lines(rng, 3000))
    hits += width * rng.standard_normal(hits.shape)
    aligned = align_layers(hits, groups_of(hits, width**2), OF, free_of("x", layers=[1]))
    others = np.vander(np.delete(Z, 1), 2)
    at = np.array([Z[1], 1.0])
    q = at @ np.linalg.inv(others.T @ others) @ at
    expected = 1 / (1 / (width[:, 1] ** 2 * (1 + q))).sum()
    assert 0.95 < aligned.covariance[0, 0] / expected < 1.15
    assert abs(aligned.value[0] - 1e-4) < 4 * np.sqrt(expected)


def test_weak_modes_are_found_in_the_tracks():
    rng = np.random.default_rng(7)
    hits = draw_hits(rng, 500, {})
    with pytest.raises(Undetermined) as error:  # shift and shear
        align_layers(hits, groups_of(hits), OF, free_of("x", layers=range(LAYERS)))
    modes = np.array(error.value.modes)
    assert modes.shape == (2, 5)
    hits[:, [2, 7]] = np.nan
    with pytest.raises(Undetermined) as error:  # nobody has a hit there
        align_layers(hits, groups_of(hits), OF, free_of("x", "y"))
    assert [np.flatnonzero(mode).tolist() for mode in error.value.modes] == [[2], [3]]


def test_hits_without_noise_give_what_they_were_made_with():
    true = draw_true(np.random.default_rng(8), KINDS)
    hits = draw_hits(np.random.default_rng(8), 100, true, width=0.0)
    free = free_of(*KINDS)
    aligned = align_layers(hits, groups_of(hits), OF, free)
    np.testing.assert_allclose(aligned.value, [true[kind][layer] for kind, layer in free], rtol=0, atol=1e-11)


def test_nothing_but_wrong_combinations_has_wide_residuals():
    hits = np.random.default_rng(9).normal(0, 5e-3, (300, 10))
    assert align_layers(hits, groups_of(hits), OF, free_of("x")).width > 30


def test_steps_that_do_not_become_small_are_refused(monkeypatch):
    monkeypatch.setattr(alignment, "MOST_STEPS", 3)
    hits = draw_hits(np.random.default_rng(10), 300, {})
    with pytest.raises(Diverged, match="within 3 steps"):
        align_layers(hits, groups_of(hits), OF, free_of("x"))
