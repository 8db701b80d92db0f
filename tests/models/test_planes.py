"""Positions on planes: of lines by numpy, of muons that are followed from layer to layer, and by closed forms."""

import functools
import math

import numpy as np
import pytest
import torch
from oracles import scattered

from pullback import propagate, quote, random_stream
from pullback.config.model_schema import Scatter, Track, Track3d
from pullback.config.source_schema import Cosmic, Simulated, Volume
from pullback.models import load_model
from pullback.models.planes import built_in_observables, named_by_plane
from pullback.models.scatter import generate, infer_scatter, intersect_layers
from pullback.models.track import covariance, infer_track
from pullback.models.track3d import infer_track3d

Z = [0.0, 0.0195, 0.1088, 0.1283]
SIGMA = [72e-6, 30e-6, 14.4e-6, 100e-6]
AT = [0.06, 0.5, -0.2, 0.1088]


def tensor(values, **options):
    return torch.tensor(values, dtype=torch.float64, **options)


def infer(z=Z, sigma=SIGMA, at=AT):
    return functools.partial(infer_track, z=z, resolution=[1 / each for each in sigma], at=at)


def weighted(z, x, sigma, at):
    """Position and σ of the weighted line at heights, by the design matrix."""
    design = np.stack([np.ones(len(z)), np.array(z)], axis=1) / np.array(sigma)[:, None]
    line, *_ = np.linalg.lstsq(design, np.array(x) / np.array(sigma), rcond=None)
    there = np.stack([np.ones(len(at)), np.array(at)], axis=1)
    inverse = np.linalg.inv(design.T @ design)
    return there @ line, np.sqrt(np.diag(there @ inverse @ there.T))


@pytest.mark.parametrize("layers", [2, 3, 6])
def test_equal_layers_have_the_closed_form(layers):
    """σ(z)² = σ² (1/N + (z − z̄)²/Σ (z_i − z̄)²)."""
    sigma, z = 0.01, np.random.default_rng(layers).uniform(-1, 2, layers)
    found = propagate(infer(z.tolist(), [sigma] * layers), torch.zeros(1, layers).double(), sigma=sigma).sigma[0, 3:]
    off = z - z.mean()
    expected = [sigma * math.sqrt(1 / layers + (at - z.mean()) ** 2 / (off @ off)) for at in AT]
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_a_telescope_of_unequal_layers_against_numpy():
    hits = np.random.default_rng(1).normal(size=(5, 4)) * 1e-3
    found = propagate(infer(), tensor(hits), sigma=tensor(SIGMA))
    for row, x in enumerate(hits):
        value, sigma = weighted(Z, x, SIGMA, AT)
        np.testing.assert_allclose(found.value[row, 3:], value, rtol=0, atol=1e-15)
        np.testing.assert_allclose(found.sigma[row, 3:], sigma, rtol=1e-12)


def test_far_from_the_origin_the_digits_are_kept():
    """A station at 1000 m, its layers 1 m apart."""
    z, at = [1000.0, 1001.0, 1002.0], [1000.5, 1010.0]
    found = propagate(infer(z, SIGMA[:3], at), tensor([[0.1, 0.2, 0.4]]), sigma=tensor(SIGMA[:3]))
    value, sigma = weighted(np.array(z) - 1001, [0.1, 0.2, 0.4], SIGMA[:3], np.array(at) - 1001)
    np.testing.assert_allclose(found.value[0, 3:], value, rtol=1e-10)
    np.testing.assert_allclose(found.sigma[0, 3:], sigma, rtol=1e-10)


def test_missing_hits_leave_the_position_of_the_others():
    hits = tensor([[1e-3, 2e-3, 3e-3, 4e-3]] * 4)
    hits[1, 0] = hits[2, 1] = hits[2, 2] = float("nan")
    hits[3, :3] = float("nan")
    vars(model := infer())["missing"] = True
    found = propagate(model, hits, sigma=tensor([SIGMA]))
    for row, layers in enumerate([[0, 1, 2, 3], [1, 2, 3], [0, 3]]):
        value, sigma = weighted(*(np.array(each)[layers] for each in (Z, hits[row].tolist(), SIGMA)), AT)
        np.testing.assert_allclose(found.value[row, 3:], value, rtol=1e-12)
        np.testing.assert_allclose(found.sigma[row, 3:], sigma, rtol=1e-12)
    assert found.value[3].isnan().all()


def test_scattering_is_included_as_stepped_toys_have_it():
    theta0, toys, hits = 2e-3, 200_000, tensor([[1e-3, 2e-3, -1e-3, 3e-3]])
    full = torch.diag(tensor(SIGMA) ** 2) + covariance(hits, Z, theta0)
    found = propagate(infer(), hits, covariance=full[None])
    thrown = scattered(np.random.default_rng(3), hits[0].numpy(), Z, SIGMA, theta0, toys)
    seen = infer()(tensor(thrown))[:, 3:]
    np.testing.assert_allclose(seen.std(dim=0), found.sigma[0, 3:], rtol=4 / math.sqrt(2 * toys))
    assert ((seen.mean(dim=0) - found.value[0, 3:]).abs() < 4 * found.sigma[0, 3:] / math.sqrt(toys)).all()
    assert (found.sigma[0, 3:] > 1.2 * propagate(infer(), hits, sigma=tensor(SIGMA)).sigma[0, 3:]).all()


def test_the_residual_of_a_device_between_scattering_layers():
    """The formula of docs/physics.md, against muons that are stepped through the layers and the device's plane."""
    theta0, at, toys = 0.5e-3, 0.06, 200_000
    rng = np.random.default_rng(5)
    # The plane as one more layer, without noise; what it does to the muon is not part of the model.
    angle, offset, height, devs, there = np.zeros(toys), np.zeros(toys), max(Z), {}, None
    for z in sorted([*Z, at], reverse=True):
        offset, height = offset + angle * (z - height), z
        if z == at:
            there = offset
        else:
            devs[z] = offset
            angle = angle + theta0 * rng.normal(size=toys)
    hits = np.stack([devs[z] for z in Z], axis=1) + np.array(SIGMA) * rng.normal(size=(toys, 4))
    residual = infer(at=[at])(tensor(hits))[:, 3].numpy() - there

    z = np.array(Z)
    weights = infer(at=[at])(torch.eye(4, dtype=torch.float64))[:, 3].numpy()
    full = torch.diag(tensor(SIGMA) ** 2) + covariance(tensor(hits[:1]), Z, theta0)
    variance = weights @ full.numpy() @ weights
    above = z[z > at]
    cross = [((each > z) * (each - z)) @ weights * (each - at) for each in above]
    expected = variance - 2 * theta0**2 * sum(cross) + theta0**2 * ((above - at) ** 2).sum()
    assert residual.std() == pytest.approx(math.sqrt(expected), rel=4 / math.sqrt(2 * toys))
    assert math.sqrt(variance) > 1.1 * residual.std()  # the line above all layers has seen none of the scattering


def test_both_views_of_a_track_in_space():
    wide = [1e-3, 2e-3, 1e-3, 5e-3]
    hits = np.random.default_rng(2).normal(size=8) * 1e-3
    resolution = [1 / each for each in SIGMA + wide]
    found = propagate(
        functools.partial(infer_track3d, z=Z, resolution=resolution, at=AT),
        tensor(hits)[None],
        sigma=tensor(SIGMA + wide),
    )
    for view, (x, sigma) in enumerate([(hits[:4], SIGMA), (hits[4:], wide)]):
        value, expected = weighted(Z, x, sigma, AT)
        np.testing.assert_allclose(found.value[0, 4 + view :: 2], value, rtol=1e-11)
        np.testing.assert_allclose(found.sigma[0, 4 + view :: 2], expected, rtol=1e-11)


UPPER, LOWER = [1.0, 0.6, 0.75], [-0.6, -1.0]
WIDTHS = [0.01, 0.02, 0.005, 0.0125, 0.008]


def test_both_tracks_of_scatter_reach_every_plane():
    at = [0.8, 0.1, 0.0, -2.0]
    hits = np.random.default_rng(2).normal(size=10)
    resolution = [1 / each for each in WIDTHS]
    model = functools.partial(infer_scatter, z_upper=UPPER, z_lower=LOWER, resolution=resolution, at=at)
    found = propagate(model, tensor(hits)[None], sigma=tensor(WIDTHS * 2))
    x, y = hits[:5], hits[5:]
    above, under = slice(0, 3), slice(3, 5)
    for place, (z, view, arm) in enumerate(
        [(UPPER, x, above), (UPPER, y, above), (LOWER, x, under), (LOWER, y, under)]
    ):
        value, sigma = weighted(z, view[arm], WIDTHS[arm], at)
        np.testing.assert_allclose(found.value[0, 8 + place :: 4], value, rtol=1e-11)
        np.testing.assert_allclose(found.sigma[0, 8 + place :: 4], sigma, rtol=1e-11)


def test_an_arm_without_a_line_has_no_position():
    model = functools.partial(infer_scatter, z_upper=UPPER, z_lower=LOWER, resolution=[1.0] * 5, at=[0.0])
    hits = torch.zeros(1, 10, dtype=torch.float64)
    hits[0, 3] = float("nan")  # of the two layers below, in x
    assert model(hits)[0, 8:].isnan().tolist() == [False, False, True, False]


def test_where_a_muon_enters_and_leaves_a_volume():
    """At the volume's top and bottom the true positions are those that the muon is drawn with."""
    volume = Volume(z=0.1, thickness=0.4, radiation_length=0.02)
    source = Simulated(muons=50, cosmic=Cosmic(), volume=volume)
    drawn = generate(random_stream(1, "truth"), 50, source)
    hits = tensor(intersect_layers(drawn, UPPER, LOWER))
    found = infer_scatter(hits, UPPER, LOWER, [1.0] * 5, at=[0.3, -0.1])[:, 8:]
    np.testing.assert_allclose(found[:, :2], drawn[:, :2], rtol=0, atol=1e-12)
    np.testing.assert_allclose(found[:, 6:], drawn[:, 4:6], rtol=0, atol=1e-12)
    assert (found[:, 2:4] - found[:, :2]).abs().median() > 1e-3  # the line below has not been there


@pytest.mark.parametrize("section", [Track(z=Z, at=[0.5]), Track3d(z=Z, at=[0.5]), Scatter(at=[0.0, 0.3])])
def test_the_other_observables_are_quoted_as_without_planes(section):
    """Near their folds, where the signed quantities are used."""
    results = []
    for each in (section, section.model_copy(update={"at": []})):
        model = load_model(each)
        known = {**model.parameters, "resolution": [100.0] * (1 + max(model.layers))}
        model_of_hits = functools.partial(model.infer, **{name: known[name] for name in model.infer_uses})
        hits = tensor(np.random.default_rng(4).normal(0, 0.01, (4, len(model.coordinates))))
        results.append(quote(model_of_hits, hits, sigma=0.01))
    planes, without = results
    count = without.value.shape[1]
    assert planes.value.shape[1] == len(load_model(section).observables) > count
    for name in ("value", "sigma", "bias", "confidence68", "confidence95", "linear_valid"):
        np.testing.assert_allclose(getattr(planes, name)[:, :count], getattr(without, name), rtol=1e-9, atol=1e-12)
    assert planes.linear_valid[:, count:].all()
    assert (planes.bias[:, count:].abs() < 1e-9 * planes.sigma[:, count:]).all()


def test_gradients():
    hits = tensor([[0.1, 0.5, 0.3, 0.4, -0.3, 0.2, 0.7, 0.8, 0.9, -0.1]], requires_grad=True)
    at = tensor([0.2, -0.3], requires_grad=True)
    z = [tensor(each, requires_grad=True) for each in (UPPER, LOWER)]
    assert torch.autograd.gradcheck(
        lambda hits, upper, lower, at: infer_scatter(hits, upper, lower, [1.0, 2.0, 1.0, 1.5, 3.0], at)[:, 8:],
        (hits, *z, at),
    )
    position = infer(at=at)(tensor([[0.1, 0.5, 0.3, 0.4]]))
    (slope,) = torch.autograd.grad(position[0, 4], at)
    np.testing.assert_allclose(slope, [0.0, position[0, 0].item()], rtol=1e-12)


def test_the_position_at_0_is_the_intercept():
    found = infer(at=[0.0])(tensor([[0.1, 0.5, 0.3, 0.4]]))[0]
    assert found[3] == found[2]


def test_names_and_words():
    of_track = built_in_observables("track", [0.06, -1.25])[3:]
    assert [(each.name, each.unit, each.long_name, each.symbol) for each in of_track] == [
        ("x_at_0", "m", "x of the track at z = 60 mm", "x(60 mm)"),
        ("x_at_1", "m", "x of the track at z = -1.25 m", "x(-1.25 m)"),
    ]
    assert [each.name for each in built_in_observables("track3d", [1, 2])[4:]] == [
        "x_at_0",
        "y_at_0",
        "x_at_1",
        "y_at_1",
    ]
    of_scatter = built_in_observables("scatter", [0.0])[8:]
    assert [each.name for each in of_scatter] == ["x_in_at_0", "y_in_at_0", "x_out_at_0", "y_out_at_0"]
    assert of_scatter[3].long_name == "y of the track below at z = 0 m"
    assert built_in_observables("one_hit") == built_in_observables("one_hit", [1.0])


def test_a_height_that_varies_is_called_by_its_name():
    section = Track(at=[0.06, 0.5])
    model = load_model(section)
    moved = named_by_plane(model, section, {"model.at[1]", "detector.resolution"})
    assert [each.symbol for each in moved.observables[3:]] == ["x(60 mm)", "x(at[1])"]
    assert moved.observables[4].long_name == "x of the track at z = at[1]"
    assert [each.name for each in moved.observables] == [each.name for each in model.observables]
    assert named_by_plane(load_model(Track()), Track(), {"model.at[1]"}) == load_model(Track())


def test_without_planes_nothing_is_added():
    model = load_model(Track())
    assert model.infer is infer_track
    assert model.infer_uses == ("z", "resolution")
    assert "at" not in model.parameters
    assert "at" not in Track().model_dump()
    assert Track(at=[0.5]).model_dump()["at"] == [0.5]
