import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from oracles import scattered

from pullback.detector.bound_model import bound, hit_covariance
from pullback.detector.known import Known
from pullback.detector.response import Response, SimulatedBlock, generated, momenta, true_hits
from pullback.study.blocks import BLOCK, Block
from pullback.study.plan import Study

TRACK3D = {"study": "s", "model": {"name": "track3d"}, "source": {"muons": 3 * BLOCK}}
SOME = Block(0, 0, 50_000)


def part_of(raw, kind="reco"):
    study = Study.from_config(raw)
    (name,) = study.batches
    (part,) = study.batch(kind, name).parts
    return part


def detectors(**section):
    return part_of({**TRACK3D, "detector": section})


def test_a_number_for_all_layers_or_one_for_each():
    assert Response(detectors(resolution=50)).resolution.tolist() == [50.0] * 6
    assert Response(detectors(resolution=[50, 20, 10])).resolution.tolist() == [50, 20, 10, 50, 20, 10]


SPECTRUM = {"muons": 50_000, "cosmic": {"spectrum": "sea_level", "momentum": 0.5, "zenith_max": 0.5}}
BY_MOMENTUM = {"z": [0.0, 0.3, 0.6, 1.0], "theta0": 0.003, "theta0_momentum": 2.0}
SCATTER = {"theta0": 0.003, "theta0_momentum": 2.0}


@pytest.mark.parametrize("model", [{"name": "track", **BY_MOMENTUM}, {"name": "track3d", **BY_MOMENTUM}])
def test_layers_scatter_each_muon_by_its_own_momentum(model):
    """Residuals in bins of the momentum against muons followed from layer to layer, by Highland's dependence on βp."""
    part = part_of({"study": "s", "model": model, "source": SPECTRUM, "detector": {"resolution": 2000}})
    drawn, response = generated(part, SOME), Response(part)
    p, x_true = momenta(part, drawn), true_hits(part, drawn)
    off = response.record(x_true, response.draw(SOME), momentum=p) - x_true
    known = torch.from_numpy(p)
    assumed = hit_covariance(part.model, bound(part)[0], torch.from_numpy(x_true), momentum=known).numpy()
    rng = np.random.default_rng(8)
    beta_p = lambda q: q**2 / np.hypot(q, 0.1056583755)  # noqa: E731
    for low, high in ((0.5, 0.6), (0.9, 1.1), (3.0, 5.0), (20.0, np.inf)):
        some = (p >= low) & (p < high)
        angles = 0.003 * beta_p(2.0) / beta_p(p[some])
        followed = np.array([scattered(rng, np.zeros(4), BY_MOMENTUM["z"], [5e-4] * 4, each, 1)[0] for each in angles])
        widths, errors = off[some, :4].std(axis=0), 4 / np.sqrt(2 * some.sum())
        assert some.sum() > 400
        np.testing.assert_allclose(widths, followed.std(axis=0), rtol=2 * errors)
        np.testing.assert_allclose(widths, np.sqrt(assumed[some].mean(axis=0).diagonal()[:4]), rtol=errors)


def test_without_momenta_layers_scatter_all_muons_alike():
    raw = {"study": "s", "source": SPECTRUM, "detector": {"resolution": 2000}}
    part, bare = (part_of({**raw, "model": {"name": "scatter", **each}}) for each in (SCATTER, {"theta0": 0.003}))
    drawn = generated(part, SOME)
    x_true, response = true_hits(part, drawn), Response(part)
    p = momenta(part, drawn)
    alike, by_momentum = (response.record(x_true, response.draw(SOME), momentum=each) for each in (None, p))
    np.testing.assert_array_equal(alike, Response(bare).record(x_true, Response(bare).draw(SOME)))
    assert momenta(bare, drawn) is None
    lowest, slow = 5, p < 0.6
    assert (by_momentum - x_true)[slow, lowest].std() > 2 * (alike - x_true)[slow, lowest].std()


def test_toys_scatter_by_the_momentum_of_their_muon():
    raw = {"model": {"name": "track3d", **BY_MOMENTUM}, "source": SPECTRUM, "detector": {"resolution": 2000}}
    part = part_of({"study": "s", **raw}, kind="toys")
    momentum = torch.tensor([0.5, 2.0, math.nan, 50.0], dtype=torch.float64)
    setup = Response(part).around_hits(torch.zeros(4, 8, dtype=torch.float64), Known(momentum=momentum))
    deviates = torch.randn(4, 200_000, setup.deviates, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    widths = setup.deviations(deviates).std(dim=1)
    expected = hit_covariance(part.model, bound(part)[0], torch.zeros(4, 8, dtype=torch.float64), momentum=momentum)
    torch.testing.assert_close(widths, expected.diagonal(dim1=1, dim2=2).sqrt(), rtol=8e-3, atol=0.0)
    assert expected[1].tolist() == expected[2].tolist()
    assert expected[0, 0, 0] > 10 * expected[3, 0, 0]


def lost(part, block):
    """Which hits of a block are lost."""
    response = Response(part)
    return np.isnan(response.record(np.zeros((len(block), len(part.model.layers))), response.draw(block)))


def deviates(part, block):
    return Response(part).draw(block).deviates


def kicks(part, block):
    return Response(part).draw(block).kicks


def deviations(part, block):
    """Deviations of the hits due to the noise alone."""
    response = Response(part)
    drawn = response.draw(block)._replace(kicks=None, chances=None)
    return response.record(np.zeros(drawn.deviates.shape), drawn)


def test_whole_layers_are_lost_as_often_as_they_are_inefficient():
    efficiency = np.array([0.9, 0.6, 1.0])
    missing = lost(detectors(efficiency=efficiency.tolist()), SOME)
    assert missing.shape == (len(SOME), 6)
    np.testing.assert_array_equal(missing[:, :3], missing[:, 3:])  # x and y of a layer together
    error = np.sqrt(efficiency * (1 - efficiency) / len(SOME))
    assert (abs(missing[:, :3].mean(axis=0) - (1 - efficiency)) <= 4 * error).all()
    both = (missing[:, 0] & missing[:, 1]).mean()  # one layer knows nothing of another
    assert both == pytest.approx(0.1 * 0.4, abs=4 * math.sqrt(0.04 / len(SOME)))


def test_each_view_loses_its_own_hits():
    of_x, of_y = 0.7, np.array([0.9, 0.6, 1.0])
    missing = lost(detectors(efficiency={"y": of_y.tolist(), "x": of_x}), SOME)
    expected = np.append([of_x] * 3, of_y)
    error = np.sqrt(expected * (1 - expected) / len(SOME))
    assert (abs(missing.mean(axis=0) - (1 - expected)) <= 4 * error).all()
    together = (missing[:, 0] & missing[:, 3]).mean()  # x and y of one layer know nothing of each other
    assert together == pytest.approx(0.3 * 0.1, abs=4 * math.sqrt(0.03 / len(SOME)))


def test_no_hit_is_lost_of_a_perfect_detector():
    for perfect in (1.0, [1.0, 1.0, 1.0]):
        assert Response(detectors(efficiency=perfect)).draw(SOME).chances is None
        assert not lost(detectors(efficiency=perfect), SOME).any()
    assert not lost(detectors(efficiency=[1.0, 0.5, 1.0]), SOME)[:, [0, 2]].any()
    assert not lost(detectors(efficiency={"x": 1, "y": 0.5}), SOME)[:, :3].any()


@pytest.mark.parametrize("draw", [generated, deviates, lost, kicks])
def test_a_block_has_its_numbers_whatever_the_batch(draw):
    raw = {**TRACK3D, "detector": {"efficiency": 0.8}, "model": {"name": "track3d", "theta0": 0.01}}
    whole = part_of(raw)
    piece = replace(whole, first=2, last=3)
    block = list(whole.blocks)[2]
    assert list(piece.blocks) == [block]
    np.testing.assert_array_equal(draw(whole, block), draw(piece, block))
    other = draw(whole, list(whole.blocks)[1])
    assert (other != draw(whole, block)).mean() > 0.2


def test_what_is_lost_changes_no_other_number():
    scattering = {**TRACK3D, "model": {"name": "track3d", "theta0": 0.01}}
    some, all_ = part_of({**scattering, "detector": {"efficiency": 0.5}}), part_of(scattering)
    for draw in (generated, deviates, kicks):
        np.testing.assert_array_equal(draw(some, SOME), draw(all_, SOME))


def test_points_with_random_numbers_of_their_own():
    model = {"name": "track3d", "theta0": 0.01}
    raw = {**TRACK3D, "model": model, "random_numbers": "independent", "detector": {"efficiency": 0.5}}
    study = Study.from_config({**raw, "scan": {"detector.resolution": [50, 100]}})
    one, other = (part for batch in study.batches for part in study.batch("reco", batch).parts)
    for draw in (generated, deviates, lost, kicks):
        assert (draw(one, SOME) != draw(other, SOME)).mean() > 0.2


def covariance(off):
    """The covariance of samples about 0, and the standard error of each entry for Gaussian ones."""
    found = off.T @ off / len(off)
    variance = found.diagonal()
    return found, np.sqrt((variance[:, None] * variance + found**2) / len(off))


@pytest.mark.parametrize("model", ["track", "track3d"])
def test_smeared_hits_have_the_covariance_that_propagation_assumes(model):
    raw = {**TRACK3D, "model": {"name": model, "theta0": 0.01}, "detector": {"resolution": [100, 300, 200]}}
    part, block = part_of(raw), Block(0, 0, BLOCK)
    x = np.zeros((BLOCK, len(part.model.layers)))
    response = Response(part)
    off = response.record(x, response.draw(block))
    found, error = covariance(off)
    hits = torch.zeros(1, len(part.model.layers), dtype=torch.float64)
    parameters, _ = bound(part)
    (expected,) = hit_covariance(part.model, parameters, hits).numpy()
    assert (abs(found - expected) <= 4.5 * error).all()
    # Neither of the two alone would do.
    for alone in (np.diag(expected.diagonal()), expected - np.diag(response.resolution**-2.0)):
        assert (abs(found - alone) > 10 * error).any()


def test_a_model_that_adds_nothing_adds_nothing():
    assert kicks(detectors(), SOME) is None
    assert Response(detectors()).around(torch.zeros(1, 6, dtype=torch.float64), Known()).root is None


def test_no_toy_muon_has_no_toys():
    """Where every muon lacks a hit that it needs; their covariances are recorded, that of the scattering is one."""
    part = part_of({**TRACK3D, "model": {"name": "track3d", "theta0": 0.001}})
    none = Known(covariance=torch.zeros(0, 6, dtype=torch.float64))
    root = Response(part).around(torch.zeros(0, 6, dtype=torch.float64), none).root
    assert root is not None
    assert tuple(root.shape) == (0, 4, 12)  # positions of two lines at two heights each


def test_strips_of_every_layer_are_as_wide_as_its_resolution():
    layers = [100, 50, 25]
    part = detectors(noise="strip", resolution=layers)
    off = deviations(part, SOME)
    half = math.sqrt(12) / 2 / np.array(layers * 2)
    assert (abs(off) <= half).all()
    assert (abs(off).max(axis=0) > 0.999 * half).all()
    np.testing.assert_allclose(off.std(axis=0), 1 / np.array(layers * 2), rtol=0.02)


def test_strips_of_a_given_pitch_are_alike_in_every_layer():
    part = detectors(noise={"kind": "strip", "pitch": 0.06}, resolution=[100, 50, 25])
    off = deviations(part, SOME)
    np.testing.assert_allclose(abs(off).max(axis=0), 0.03, rtol=1e-3)


def test_deviates_of_toys_are_the_noise_s_and_normal_ones_for_what_is_added():
    response = Response(part_of({**TRACK3D, "model": {"name": "track"}, "detector": {"noise": "strip"}}))
    rng = np.random.default_rng(1)
    z = response.toy_deviates(rng, (20_000, 6))
    assert abs(z[:, :3]).max() <= 0.5
    np.testing.assert_allclose(z[:, 3:].std(axis=0), 1, rtol=0.03)
    assert response.toy_deviates(rng, (10, 3)).shape == (10, 3)


EVERYTHING = {
    **TRACK3D,
    "model": {"name": "track3d", "theta0": 0.01},
    "detector": {"resolution": [100, 300, 200], "efficiency": [0.9, 1.0, 0.7]},
}


@pytest.mark.parametrize("noise", ["gaussian", "strip", {"kind": "strip", "pitch": 0.03}, "tails", "clipped"])
def test_hits_as_functions_of_the_design_are_the_simulated_hits(noise):
    """The same equation with arrays and with tensors, to a bit."""
    part = part_of({**EVERYTHING, "detector": {**EVERYTHING["detector"], "noise": noise}})
    response, (parameters, _) = Response(part), bound(part)
    plain = response.record(true_hits(part, generated(part, SOME)), response.draw(SOME))
    moving = SimulatedBlock.draw(part, SOME).hits(part, parameters)
    np.testing.assert_array_equal(moving.numpy(), plain)
    assert 0.1 < np.isnan(plain).mean() < 0.2


@pytest.mark.parametrize(
    ("noise", "moves"), [("gaussian", True), ("strip", True), ({"kind": "strip", "pitch": 0.03}, False)]
)
def test_a_finer_resolution_moves_hits_unless_the_strips_have_a_pitch(noise, moves):
    part = part_of({**TRACK3D, "detector": {"noise": noise, "resolution": [100, 300, 200]}})
    parameters = {name: each.requires_grad_() for name, each in bound(part)[0].items()}
    block = SimulatedBlock.draw(part, SOME).take(slice(0, 100))
    (slope,) = torch.autograd.grad(
        block.hits(part, parameters).abs().sum(), parameters["resolution"], materialize_grads=True
    )
    assert (slope != 0).all() == moves
    assert (slope == 0).all() != moves


def test_toys_around_hits_have_the_noise_and_the_scattering_of_the_simulation():
    part = part_of({**EVERYTHING, "detector": {"resolution": [100, 300, 200], "noise": "strip"}})
    hits = torch.from_numpy(true_hits(part, generated(part, Block(0, 0, 5))))
    setup = Response(part).around_hits(hits, Known())
    assert setup.deviates == 12
    factor = np.sqrt(12)  # the noise of strips has the variance 1/12
    _, (expected,) = bound(part), hit_covariance(part.model, bound(part)[0], hits[:1]).numpy()
    root = setup.root[0].numpy() / np.array([factor] * 6 + [1] * 6)
    np.testing.assert_allclose(root @ root.T, expected, rtol=1e-12, atol=1e-18)
