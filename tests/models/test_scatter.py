import functools
import math
from types import SimpleNamespace

import jacobi
import mpmath
import numpy as np
import pytest
import torch
from oracles import scattered
from scipy import integrate
from scipy.spatial.transform import Rotation

from pullback import propagate, propagate_distribution, random_stream
from pullback.config.model_schema import Scatter
from pullback.errors import PullbackError
from pullback.models import NO_FOLD, load_model
from pullback.models.energy_loss import MATERIALS, bethe
from pullback.models.multiple_scattering import highland
from pullback.models.scatter import covariance, fitted, generate, infer_scatter, intersect_layers, signed_scatter
from pullback.uncertainty.jacobians import value_and_jacobian

UPPER, LOWER = [1.0, 0.6, 0.75], [-0.6, -1.0]
RESOLUTION = [100.0, 50.0, 200.0, 80.0, 120.0]
NAMES = ["theta_in", "theta_out", "dtheta_x", "dtheta_y", "theta_msc", "poca_x", "poca_y", "poca_z"]


def source(**volume):
    cosmic = SimpleNamespace(zenith_max=1.0, spectrum="fixed", momentum=3.0)
    box = {"z": 0.1, "thickness": 0.2, "radiation_length": 0.01757, "material": "iron", "energy_loss": "none"} | volume
    constants = dict.fromkeys(("density", "z_over_a", "excitation"))
    return SimpleNamespace(x_min=-1.0, x_max=1.0, cosmic=cosmic, beam=None, volume=SimpleNamespace(**constants, **box))


def tensor(values, **options):
    return torch.tensor(values, dtype=torch.float64, **options)


def infer(hits, resolution=RESOLUTION):
    return infer_scatter(hits, UPPER, LOWER, resolution)


def hits_of(p, q, at_p, at_q, upper=UPPER, lower=LOWER):
    """The hits of a line along (p, 1) through (at_p, 0), and below of one along (q, 1) through (at_q, 0)."""
    views = [[at_p[i] + p[i] * z for z in upper] + [at_q[i] + q[i] * z for z in lower] for i in (0, 1)]
    return tensor(views[0] + views[1])[None]


BENT = hits_of([0.3, -0.5], [0.34, -0.45], [0.1, 0.2], [0.11, 0.205])


def test_the_angles_and_the_point_against_vectors():
    p, q = np.array([0.3, -0.5, 1]), np.array([0.34, -0.45, 1])
    found = dict(zip(NAMES, infer(BENT)[0].tolist(), strict=True))
    unit_p, unit_q = p / np.linalg.norm(p), q / np.linalg.norm(q)
    expected = [
        math.acos(unit_p[2]),
        math.acos(unit_q[2]),
        math.atan(q[0]) - math.atan(p[0]),
        math.atan(q[1]) - math.atan(p[1]),
        2 * math.asin(np.linalg.norm(unit_p - unit_q) / 2),
    ]
    # The nearest points by least squares in the two lengths along the tracks.
    start_p, start_q = np.array([0.1, 0.2, 0]), np.array([0.11, 0.205, 0])
    s, t = np.linalg.lstsq(np.stack([p, -q], axis=1), start_q - start_p, rcond=None)[0]
    point = (start_p + s * p + start_q + t * q) / 2
    assert list(found.values()) == pytest.approx([*expected, *point], rel=1e-9)


@pytest.mark.parametrize("theta0", [0.0, 3e-3])
def test_the_covariance_against_jacobi_and_toys(theta0):
    full = torch.diag(tensor(2 * RESOLUTION) ** -2 * 1e-2) + covariance(BENT, UPPER, LOWER, theta0)
    found = propagate(infer, BENT, covariance=full[None])
    # jacobi's own first step is so wide that the point of closest approach bends over it.
    one = lambda x: infer(tensor(x)[None])[0].numpy()  # noqa: E731
    value, expected = jacobi.propagate(one, BENT[0].numpy(), full.numpy(), step=(0.1, 0.25))
    np.testing.assert_allclose(found.value[0], value, rtol=1e-12)
    scale = np.sqrt(np.outer(np.diag(expected), np.diag(expected)))
    np.testing.assert_allclose(found.covariance[0].numpy() / scale, expected / scale, rtol=0, atol=1e-6)
    # Finer hits, so that the point bends little over their width; the law is the same.
    rng, toys, fine = np.random.default_rng(5), 50_000, 100
    sigma = 0.1 / np.array(RESOLUTION) / fine
    thrown = [scattered(rng, view.numpy(), UPPER + LOWER, sigma, theta0 / fine, toys) for view in BENT[0].split(5)]
    seen = infer(tensor(np.concatenate(thrown, axis=1))).std(dim=0) * fine
    np.testing.assert_allclose(seen, found.sigma[0], rtol=4 / math.sqrt(2 * toys))


def test_layers_above_the_volume_bend_the_line_below_it():
    """By hand, for two layers each of perfect hits: what the second layer does is seen below only."""
    theta0 = 1e-3
    upper, lower = [2.0, 1.0], [-1.0, -2.0]
    near = hits_of([0.0, 0.0], [0.01, 0.0], [0.0, 0.0], [0.0, 0.0], upper, lower)
    model = functools.partial(infer_scatter, z_upper=upper, z_lower=lower, resolution=[1.0] * 4)
    law = propagate(model, near, covariance=covariance(near, upper, lower, theta0)[None])
    # The first bends both lines alike; q has those of the first three layers, p that of the first.
    assert law.sigma[0, 2].item() == pytest.approx(theta0 * math.sqrt(2) / (1 + 0.01**2), rel=1e-3)
    assert law.sigma[0, 1].item() == pytest.approx(theta0 * math.sqrt(3) / (1 + 0.01**2), rel=1e-12)


@pytest.mark.parametrize("angle", [1e-4, 1e-6])
def test_small_angles_keep_their_digits(angle):
    p = [0.5, 0.3]
    q = [math.tan(math.atan(0.5) + angle), 0.3]
    found = infer(hits_of(p, q, [0.7, 0.2], [0.7, 0.2]))[0]
    mpmath.mp.dps = 40
    up, down = mpmath.matrix([*p, 1]), mpmath.matrix([*q, 1])
    exact = mpmath.acos((up.T * down)[0] / mpmath.norm(up) / mpmath.norm(down))
    assert found[2].item() == pytest.approx(angle, rel=1e-12 / angle)
    assert found[4].item() == pytest.approx(float(exact), rel=1e-12 / angle)
    steep = infer(hits_of([0.0, 0.0], [angle, 0.0], [0.0, 0.0], [0.0, 0.0]))[0]
    assert steep[[1, 2, 4]].tolist() == pytest.approx([math.atan(angle)] * 3, rel=1e-12)


def test_parallel_tracks_are_nowhere_nearest_and_spoil_nothing():
    straight = torch.zeros_like(BENT)
    hits = torch.cat([straight, BENT]).requires_grad_()
    inputs = [tensor(UPPER, requires_grad=True), tensor(LOWER, requires_grad=True), tensor(RESOLUTION)]
    found = infer_scatter(hits, *inputs)
    assert found[0].isnan().tolist() == [False] * 5 + [True] * 3
    assert found[0, 4] == 0
    for name, column in zip(NAMES, found.unbind(1), strict=True):
        gradients = torch.autograd.grad(column.sum(), [hits, *inputs[:2]], retain_graph=True)
        assert all(torch.isfinite(each).all() for each in gradients), name
        assert (gradients[0][1] != 0).any()
    assert torch.autograd.grad(found[0, 4], hits)[0].abs().sum() == 0


def test_missing_hits_leave_what_doesnt_need_them():
    hits = BENT.repeat(4, 1)
    hits[1, 0] = math.nan  # three layers above: the others do
    hits[2, 3] = math.nan  # no line below in view x
    hits[3, 5] = hits[3, 6] = math.nan  # no line above in view y
    hits.requires_grad_()
    found = infer(hits)
    torch.testing.assert_close(found[1], found[0], rtol=1e-9, atol=1e-12)
    known = (~found.isnan()).int().tolist()
    assert known[2] == [1, 0, 0, 1, 0, 0, 0, 0]
    assert known[3] == [0, 1, 1, 0, 0, 0, 0, 0]
    for column in found.unbind(1):
        (gradient,) = torch.autograd.grad(column.sum(), hits, retain_graph=True)
        assert torch.isfinite(gradient).all()
    (gradient,) = torch.autograd.grad(found[:, 0].sum(), hits)
    torch.testing.assert_close(gradient[2], gradient[0])


def test_gradients():
    inputs = [torch.cat([BENT, -0.7 * BENT]), tensor(UPPER), tensor(LOWER), tensor(RESOLUTION) / 100]
    for each in inputs:
        each.requires_grad_()
    assert torch.autograd.gradcheck(infer_scatter, inputs)
    assert torch.autograd.gradcheck(fitted, inputs)
    theta0 = tensor(0.1, requires_grad=True)
    assert torch.autograd.gradcheck(lambda *some: covariance(BENT, *some), (*inputs[1:3], theta0))
    drawn = tensor(generate(random_stream(1, "truth"), 3, source()))
    assert torch.autograd.gradcheck(lambda *z: intersect_layers(drawn, *z), inputs[1:3])


def test_the_scattering_angle_folds_in_two_dimensions():
    z = [1.0, 0.5], [-0.5, -1.0]
    model = functools.partial(infer_scatter, z_upper=z[0], z_lower=z[1], resolution=[100.0] * 4)
    found = propagate_distribution(
        lambda hits: model(hits)[:, 4:5], torch.zeros(1, 8, dtype=torch.float64), covariance=1e-8
    )
    sigma = 1e-4 * math.sqrt(2) / 0.5 * math.sqrt(2)  # of a slope, and of the difference of two
    assert found.bias[0, 0].item() / sigma == pytest.approx(math.sqrt(math.pi / 2), rel=5e-3)
    assert found.sd[0, 0].item() / sigma == pytest.approx(math.sqrt(2 - math.pi / 2), rel=5e-3)


def test_true_hits_lie_on_the_true_lines():
    drawn = generate(random_stream(1, "truth"), 2000, source())
    hits = intersect_layers(drawn, z_upper=UPPER, z_lower=LOWER)
    assert hits.shape == (2000, 10)
    np.testing.assert_array_equal(intersect_layers(drawn, z_upper=tensor(UPPER), z_lower=tensor(LOWER)).numpy(), hits)
    found = dict(zip(NAMES, infer(tensor(hits)).numpy().T, strict=True))
    x, y, px, py, _, _, qx, qy, top, bottom, momentum = drawn.T
    np.testing.assert_allclose(found["theta_in"], np.arctan(np.hypot(px, py)), rtol=1e-9)
    np.testing.assert_allclose(found["theta_out"], np.arctan(np.hypot(qx, qy)), rtol=1e-9)
    np.testing.assert_allclose(found["dtheta_x"], np.arctan(qx) - np.arctan(px), rtol=1e-6, atol=1e-13)
    assert found["theta_in"].max() < 1
    assert (top == 0.2).all()
    assert bottom == pytest.approx(0.0)
    assert np.abs([x, y]).max() <= 1
    assert set(momentum) == {3.0}


def test_scattering_has_the_spread_and_correlation_of_highland():
    """Of vertical muons, in whose views angles and displacements are what they are across their line."""
    vertical = source()
    vertical.cosmic.zenith_max = 1e-6
    muons = 40_000
    x, y, px, py, x_below, y_below, qx, qy, *_ = generate(random_stream(2, "truth"), muons, vertical).T
    theta0 = highland(3.0, 0.2, 0.01757)
    for angle, shift in ((np.arctan(qx - px), x - x_below), (np.arctan(qy - py), y - y_below)):
        assert angle.std() == pytest.approx(theta0, rel=4 / math.sqrt(2 * muons))
        assert shift.std() == pytest.approx(0.2 * theta0 / math.sqrt(3), rel=4 / math.sqrt(2 * muons))
        # The standard error of a correlation is (1 − ρ²)/√n.
        assert np.corrcoef(angle, shift)[0, 1] == pytest.approx(math.sqrt(3) / 2, abs=4 * 0.25 / math.sqrt(muons))
    assert np.corrcoef(qx - px, qy - py)[0, 1] == pytest.approx(0, abs=4 / math.sqrt(muons))


def test_an_inclined_muon_is_scattered_on_a_longer_way():
    muons = 40_000
    drawn = generate(random_stream(3, "truth"), muons, source())
    _, _, px, py, *_ = drawn.T
    found = dict(zip(NAMES, infer(tensor(intersect_layers(drawn, UPPER, LOWER))).numpy().T, strict=True))
    theta0 = highland(3.0, 0.2 * np.sqrt(1 + px**2 + py**2), 0.01757)
    # θ_msc/θ0 follows the distribution of Rayleigh, whatever the direction.
    reduced = np.square(found["theta_msc"] / theta0)
    assert reduced.mean() == pytest.approx(2, abs=4 * 2 / math.sqrt(muons))
    steep = np.hypot(px, py) > 0.8
    assert reduced[steep].mean() == pytest.approx(2, abs=4 * 2 / math.sqrt(steep.sum()))
    assert np.median(found["poca_z"]) == pytest.approx(0.1, abs=0.01)  # the middle of the volume


def test_no_volume_scatters_nobody():
    drawn = generate(random_stream(1, "truth"), 100, source(thickness=0.0))
    np.testing.assert_array_equal(drawn[:, :4], drawn[:, 4:8])


def test_muons_that_are_turned_back_have_no_line_below():
    slow = source(thickness=1.0)
    slow.cosmic.momentum = 0.1
    drawn = generate(random_stream(1, "truth"), 1000, slow)
    assert np.isfinite(drawn[:, :4]).all()
    gone = np.isnan(drawn[:, 6])
    assert 0.5 < gone.mean() < 1
    hits = intersect_layers(drawn, [2.0, 1.5], [-1.0, -2.0])
    assert (np.isnan(hits).sum(axis=1) == 4 * gone).all()


def test_muons_that_lose_energy_scatter_as_highland_integrated_along_their_path():
    """Of vertical muons that slow from 1 to 0.52 GeV/c, against 0.4 m of iron followed in thin slices."""
    slowing = source(thickness=0.4, energy_loss="bethe")
    slowing.cosmic.zenith_max, slowing.cosmic.momentum = 1e-6, 1.0
    muons, slices, length = 40_000, 400, 0.4
    x, y, px, py, x_below, y_below, qx, qy, *_ = generate(random_stream(2, "truth"), muons, slowing).T
    p, mass, inverse = 1.0, 0.1056583755, []
    for _ in range(slices):
        loss = 0.1 * 7.874 * float(bethe(p, MATERIALS["iron"].material)) * length / slices  # GeV
        inverse.append((p**2 + mass**2) / p**4)
        p = math.sqrt((math.hypot(p, mass) - loss) ** 2 - mass**2)
    inverse, left = np.array(inverse), length * (1 - (np.arange(slices) + 0.5) / slices)
    beta2 = 1 / (1 + mass**2 * inverse.mean())
    log = 1 + 0.038 * math.log(length / 0.01757 / beta2)
    of_slice = (13.6e-3 * log) ** 2 * inverse * length / slices / 0.01757
    square, mixed, shifts = (float((of_slice * left**power).sum()) for power in (0, 1, 2))
    expected = [[square, mixed], [mixed, shifts]]
    for angle, shift in ((np.arctan(qx - px), x - x_below), (np.arctan(qy - py), y - y_below)):
        found = np.cov(angle, shift)
        np.testing.assert_allclose(found, expected, rtol=6 / math.sqrt(muons))
        assert found[0, 0] > 1.5 * highland(1.0, 0.4, 0.01757) ** 2


def test_muons_that_stop_have_no_line_below():
    slowing = source(thickness=0.5, energy_loss="bethe")
    slowing.cosmic.momentum = 0.9
    of_one_step = lambda p: 10 * p / math.hypot(p, 0.1056583755) / 7.874 / float(bethe(p, MATERIALS["iron"].material))  # noqa: E731
    reach = integrate.quad(of_one_step, 0.0106, 0.9)[0]  # m
    drawn = generate(random_stream(1, "truth"), 5000, slowing)
    path, stopped = 0.5 * np.sqrt(1 + drawn[:, 2] ** 2 + drawn[:, 3] ** 2), np.isnan(drawn[:, 4:8])
    assert np.isfinite(drawn[:, [0, 1, 2, 3, 8, 9]]).all()
    assert (stopped.all(axis=1) == stopped.any(axis=1)).all()
    stopped = stopped[:, 0]
    assert stopped[path > reach].all()
    assert stopped[path < reach].mean() < 0.003  # those that are deflected past the horizontal
    assert not stopped[path < 0.9 * reach].any()
    assert 500 < stopped.sum() < 3000
    hits = intersect_layers(drawn, z_upper=UPPER, z_lower=LOWER)
    assert (np.isnan(hits).any(axis=1) == stopped).all()
    values = infer(tensor(hits[stopped]))
    assert values.isnan().int().sum(dim=0).tolist() == [0] + [stopped.sum()] * 7


def test_layers_in_the_volume_are_refused():
    drawn = generate(random_stream(1, "truth"), 2, source())
    with pytest.raises(PullbackError, match=r"model\.z_upper: 0\.15 m is below the volume's top at 0\.2 m"):
        intersect_layers(drawn, [0.15, 1.0], LOWER)
    with pytest.raises(PullbackError, match=r"model\.z_lower: 0\.05 m is above the volume's bottom"):
        intersect_layers(drawn, UPPER, [0.05, -1.0])
    with pytest.raises(PullbackError, match="is not above the lower tracker"):
        load_model(Scatter(z_upper=[1.0, -0.5], z_lower=[-0.4, -1.0]))


def test_the_fit_predicts_four_lines():
    hits = np.random.default_rng(2).normal(size=(3, 10))
    found, start = fitted(tensor(hits), UPPER, LOWER, RESOLUTION).numpy(), 0
    for z, weights in 2 * [(UPPER, RESOLUTION[: len(UPPER)]), (LOWER, RESOLUTION[len(UPPER) :])]:
        part = slice(start, start := start + len(z))
        expected = [np.polyval(np.polyfit(z, each[part], 1, w=weights), z) for each in hits]
        np.testing.assert_allclose(found[:, part], expected, rtol=1e-9, atol=1e-13)
    model = load_model(Scatter(z_upper=UPPER, z_lower=LOWER))
    assert model.heights == 2 * (*UPPER, *LOWER)


def test_the_model_is_made_from_its_section():
    model = load_model(Scatter(z_upper=UPPER, z_lower=LOWER, theta0=1e-3))
    assert [each.name for each in model.coordinates] == [f"{view}{i}" for view in "xy" for i in range(5)]
    assert [each.name for each in model.observables] == NAMES
    folds = ["", "", NO_FOLD, NO_FOLD, "", *["theta_msc"] * 3]
    assert [each.fold for each in model.observables] == folds
    signed = [("px", "py"), ("qx", "qy"), (), (), ("deflection_x", "deflection_y"), (), (), ()]
    assert [each.folds for each in model.observables] == signed
    assert model.squared == ("theta_msc",)
    assert model.layers == (0, 1, 2, 3, 4) * 2
    parameters = {name: model.parameters[name] for name in model.covariance_uses}
    extra = model.covariance(BENT, **parameters)
    assert extra.shape == (10, 10)
    assert extra[4, 4].item() == pytest.approx(1e-6 * (4.0 + 1.6**2 + 1.75**2 + 0.4**2))


def signed(hits):
    return signed_scatter(hits, UPPER, LOWER, RESOLUTION)


@pytest.mark.parametrize("size", [1e-12, 1e-6, 1e-3, 0.019, 0.021, 0.3, 1.5])
def test_the_deflection_is_the_rotation_in_a_frame_along_the_bisector(size):
    """By rotations of scipy: the rotation vector from p to q, in the frame that the shortest rotation takes to b."""
    generator = np.random.default_rng(1)
    for _ in range(20):
        p = generator.normal(size=2) * 0.8
        q = p + size * generator.normal(size=2)
        found = signed(hits_of(p, q, [0.1, 0.2], [0.3, 0.1]))[0].numpy()
        np.testing.assert_allclose(found[:4], [*p, *q], rtol=0, atol=1e-14)
        u, v = (np.array([*each, 1]) / math.hypot(*each, 1) for each in (p, q))
        cross = np.cross(u, np.array([*(q - p), 0.0])) / math.hypot(*q, 1)  # u × v, by the difference of directions
        angle = math.atan2(np.linalg.norm(cross), u @ v)
        rotation = angle * cross / np.linalg.norm(cross)
        middle = (u + v) / np.linalg.norm(u + v)
        axis = np.cross(middle, [0, 0, 1])
        upright = Rotation.from_rotvec(axis / np.linalg.norm(axis) * math.acos(middle[2]))
        x, y, along = upright.apply(rotation)
        assert abs(along) < 1e-15 + 1e-12 * size
        np.testing.assert_allclose(found[4:], [y, -x], rtol=0, atol=1e-15 + 1e-12 * size)


@pytest.mark.parametrize("size", [0.0, 1e-9, 1e-3, 0.0199, 0.0201, 0.5])
def test_the_deflection_is_smooth(size):
    """Its derivatives agree with difference quotients, also for parallel tracks, where those of θ_msc are 0."""
    hits = hits_of([0.5, -0.7], [0.5 + 0.6 * size, -0.7 + 0.8 * size], [0.1, 0.2], [0.3, 0.1])
    _, jac, _ = value_and_jacobian(signed, hits)
    step = 1e-6
    for column in range(hits.shape[1]):
        off = torch.zeros_like(hits)
        off[0, column] = step
        quotient = (signed(hits + off) - signed(hits - off))[0] / (2 * step)
        torch.testing.assert_close(jac[0, :, column], quotient, rtol=1e-8, atol=1e-8)
    assert jac[0, 4:].abs().amax() > 0.1


def test_theta_msc_is_the_length_of_the_deflection():
    generator = np.random.default_rng(2)
    p = generator.normal(size=(200, 2)) * 0.8
    q = p + 10 ** generator.uniform(-12, 0, (200, 1)) * generator.normal(size=(200, 2))
    hits = torch.cat([hits_of(a, b, [0.1, 0.2], [0.1, 0.2]) for a, b in zip(p, q, strict=True)])
    torch.testing.assert_close(signed(hits)[:, 4:].norm(dim=1), infer(hits)[:, 4], rtol=1e-13, atol=1e-16)


def test_a_missing_line_has_no_signed_quantities():
    hits = BENT.clone()
    hits[0, 3] = math.nan  # the lower tracker has two layers
    assert signed(hits)[0].isnan().tolist() == [False, False, True, False, True, True]
