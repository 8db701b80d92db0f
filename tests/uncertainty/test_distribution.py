import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from oracles import dense, moments
from scipy import optimize, stats

from pullback import infer_theta, propagate, propagate_distribution, quote
from pullback.config.model_schema import Track3d
from pullback.detector.bound_model import Inference, parameters_of
from pullback.models import load_model
from pullback.statistics.quantiles import P_ENDS
from pullback.uncertainty import distribution, linear

DOUBLE = torch.float64
CASES = json.loads(Path(__file__).parents[1].joinpath("data", "exact_theta_moments.json").read_text())["cases"]


def column(values):
    return torch.as_tensor(values, dtype=DOUBLE)[:, None]


def ends_of(found):
    return torch.cat([found.interval68, found.interval95], dim=2)


def fold(h):
    return h.abs()


def cone(h):
    return h.norm(dim=1, keepdim=True)


def covariance_of(coordinates, seed):
    root = torch.randn(coordinates, coordinates, dtype=DOUBLE, generator=torch.Generator().manual_seed(seed))
    return root @ root.mT


def test_what_the_screen_cannot_see_is_seen_without_it():
    """A bump between ±1 and ±1.96 σ, as the docstring warns."""
    bump = lambda h: h + torch.exp(-((h - 1.4) ** 2) / 0.01)  # noqa: E731
    _, sd, _ = dense(lambda x: x + np.exp(-((x - 1.4) ** 2) / 0.01), 0.0, 1.0, P_ENDS, points=200_001)
    assert propagate_distribution(bump, column([0.0]), covariance=1.0).sd.item() == pytest.approx(1, rel=1e-9)
    assert propagate_distribution(bump, column([0.0]), covariance=1.0, screen=False).sd.item() == pytest.approx(
        sd, rel=1e-3
    )
    assert abs(sd - 1) > 0.005


def test_a_level_function_with_a_kink_far_out_is_not_exact():
    level = lambda h: h.clamp(min=3.6)  # noqa: E731
    found = quote(level, column([0.0]), covariance=1.0)
    assert found.sigma.item() > 0
    assert not found.linear_valid.item()


# The one-hit model


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"x={case['x0_m']}")
def test_against_the_exact_moments(case):
    found = propagate_distribution(
        lambda h: infer_theta(h, case["dz_m"]), column([case["x0_m"]]), covariance=case["sigma_m"] ** 2
    )
    sd = case["std_rad"]
    assert found.sd.item() == pytest.approx(sd, rel=3e-4)
    assert found.mean.item() == pytest.approx(case["mean_rad"], abs=3e-4 * sd)
    bias = case["mean_rad"] - math.atan(case["x0_m"] / case["dz_m"])
    assert found.bias.item() == pytest.approx(bias, abs=3e-4 * sd)


@pytest.mark.parametrize(("sigma", "dz"), [(0.01, 1.5), (0.001, 0.002), (0.5, 1.5), (0.01, 100.0)])
def test_theta_at_other_places_resolutions_and_heights(sigma, dz):
    places = sigma * np.array([0, 0.1, 0.25, 0.6, 1.3, 2, 2.7, 3.4, 3.49, 3.51, 3.6, 4.1, 5, 8, 30, -0.7, -3.7])
    found = propagate_distribution(lambda h: infer_theta(h, dz), column(places), covariance=sigma**2)
    for index, x in enumerate(places):
        mean, sd = moments(lambda x: math.atan(abs(x) / dz), x, sigma, kinks=(0.0,))
        assert found.sd[index].item() == pytest.approx(sd, rel=1e-3)
        assert found.bias[index].item() == pytest.approx(mean, abs=5e-4 * sd)


def test_at_the_fold_sigma_is_neither_zero_nor_that_beside_it():
    assert propagate_distribution(infer_theta, column([0.0]), covariance=0.01**2).sd.item() == pytest.approx(
        0.0040185, abs=1e-6
    )


def test_the_intervals_of_theta():
    """θ rises with |x|, which has a folded normal distribution."""
    places = np.array([0, 0.003, 0.01, 0.02, 0.034, 0.0352, 0.05, 0.5])
    found = propagate_distribution(infer_theta, column(places), covariance=0.01**2)
    for index, x in enumerate(places):
        exact = np.arctan(stats.foldnorm(x / 0.01, scale=0.01).ppf(P_ENDS) / 1.5)
        assert ends_of(found)[index, 0].tolist() == pytest.approx(exact, abs=0.003 * found.sd[index].item())


# One coordinate


@pytest.mark.parametrize("s", [0.01, 0.05, 0.2, 0.5, 1.0])
def test_lognormal(s):
    found = propagate_distribution(torch.exp, column([0.3]), covariance=s**2)
    exact = stats.lognorm(s, scale=math.exp(0.3))
    assert found.sd.item() == pytest.approx(exact.std(), rel=5e-5)
    assert found.mean.item() == pytest.approx(exact.mean(), rel=2e-5)
    np.testing.assert_allclose(ends_of(found)[0, 0], exact.ppf(P_ENDS), rtol=0, atol=0.004 * exact.std())


@pytest.mark.parametrize("x", [0.0, 0.5, -1.0, 2.0, 4.9, 5.1, -7.0, 100.0])
def test_chi_squared(x):
    """Its mean, variance and quantiles; a/u = 1/(2 x) is on either side of what is taken for smooth."""
    found = propagate_distribution(torch.square, column([x]), covariance=1.0)
    sd = math.sqrt(2 + 4 * x * x)
    assert found.bias.item() == pytest.approx(1, abs=2e-5 * sd)
    assert found.sd.item() == pytest.approx(sd, rel=5e-5)
    exact = stats.ncx2(1, x * x).ppf(P_ENDS) if x else stats.chi2(1).ppf(P_ENDS)
    assert ends_of(found)[0, 0].tolist() == pytest.approx(exact, abs=0.005 * sd)


@pytest.mark.parametrize("b", [0.001, 0.004])
def test_a_term_of_third_order(b):
    """z + a z² + b z³ has the variance (1 + 3 b)² + 6 b² + 2 a², exactly."""
    found = propagate_distribution(lambda h: h + 0.05 * h**2 + b * h**3, column([0.0]), covariance=1.0)
    assert found.sd.item() == pytest.approx(math.sqrt((1 + 3 * b) ** 2 + 6 * b**2 + 2 * 0.05**2), rel=1e-12)
    assert found.bias.item() == pytest.approx(0.05, rel=1e-12)


CURVES = {
    "fold": fold,
    "half a fold": lambda h: h + 0.2 * h.abs(),
    "steeper fold": lambda h: h + 2 * h.abs(),
    "falling": lambda h: -h - 0.5 * h.abs(),
    "ramp": lambda h: h + h.clamp(min=0),
    "soft fold": lambda h: (h * h + 0.01).sqrt(),
    "very soft fold": lambda h: (h * h + 1).sqrt(),
    "wave": lambda h: h + 0.1 * (3 * h).sin(),
    "fast wave": lambda h: h + 0.1 * (2 * math.pi * h).sin(),
    "sine": torch.sin,
    "sine of many periods": lambda h: (10 * h).sin(),
    "bump": lambda h: h + torch.exp(-2 * h * h),
    "odd square": lambda h: h * h.abs(),
    "greater of two": lambda h: torch.maximum(h, h * h / 2),
    "cube": lambda h: h**3,
    "exponential": lambda h: (0.2 * h).exp(),
    "gentle exponential": lambda h: (0.05 * h).exp(),
    "small step": lambda h: h + 0.1 * (h > 0),
}


@pytest.mark.parametrize("name", CURVES)
def test_every_muon_of_one_coordinate(name):
    """sd within 1e-3 wherever the hit is, whether it was taken for smooth or integrated; ends as the step of nodes."""
    infer = CURVES[name]
    places = np.linspace(-6.03, 6.03, 49)
    found = propagate_distribution(infer, column(places), covariance=1.0)
    full = propagate_distribution(infer, column(places), covariance=1.0, screen=False)
    plain = lambda x: infer(column(x))[:, 0].numpy()  # noqa: E731
    for index, x in enumerate(places):
        mean, sd, ends = dense(plain, x, 1.0, P_ENDS, points=20_001)
        tolerance = {"fast wave": 0.005, "sine of many periods": 0.03, "small step": 0.07}.get(name, 0.012)
        for each in (found, full):
            assert each.sd[index].item() == pytest.approx(sd, rel=1e-3)
            assert each.mean[index].item() == pytest.approx(mean, abs=1e-3 * sd)
            assert ends_of(each)[index, 0].tolist() == pytest.approx(ends, abs=tolerance * sd)


def test_what_is_plainly_linear_is_not_integrated(monkeypatch):
    """7 evaluations of a muon, with those of the linear law and the test for coupling."""
    seen = []

    def infer(h):
        seen.append(len(h))
        return h.square()

    propagate_distribution(infer, torch.full((1000, 1), 50.0, dtype=DOUBLE), covariance=1.0)
    assert sum(seen) < 7300


def test_a_jump_is_right_to_some_per_cent():
    """The angle of a hit beside the cut at ±π."""
    angle = lambda h: (h + math.pi) % (2 * math.pi) - math.pi  # noqa: E731
    for x in (3.0, math.pi, -3.1, 2.0):
        _, sd, _ = dense(angle, x, 0.1)
        assert propagate_distribution(angle, column([x]), covariance=0.01).sd.item() == pytest.approx(sd, rel=0.03)


# Several coordinates


@pytest.mark.parametrize("coordinates", range(2, 9))
def test_folds_in_any_direction(coordinates):
    """|a·x| of correlated hits has a folded normal distribution."""
    generator = torch.Generator().manual_seed(coordinates)
    cov = covariance_of(coordinates, coordinates)
    a = torch.randn(coordinates, dtype=DOUBLE, generator=generator)
    width = (a @ cov @ a).sqrt().item()
    distance = torch.tensor([0, 0.3, 1, 2, 3, 3.6, 5, 20], dtype=DOUBLE) * width
    hits = distance[:, None] * a / (a @ a)
    found = propagate_distribution(lambda h: (h * a).sum(dim=1, keepdim=True).abs(), hits, covariance=cov[None])
    for index, each in enumerate(distance.tolist()):
        exact = stats.foldnorm(each / width, scale=width)
        assert found.sd[index].item() == pytest.approx(exact.std(), rel=5e-3)
        assert found.mean[index].item() == pytest.approx(exact.mean(), abs=2e-3 * width)
        assert ends_of(found)[index, 0].tolist() == pytest.approx(exact.ppf(P_ENDS), abs=0.04 * width)


def test_a_cone_is_rice():
    """The distance from the axis, in the plane."""
    places = [0, 0.2, 0.7, 1.5, 2.5, 4, 6, 9, 15, 25]
    hits = torch.tensor([[0.6 * v, -0.8 * v] for v in places], dtype=DOUBLE) * 0.01
    found = propagate_distribution(cone, hits, covariance=0.01**2)
    for index, v in enumerate(places):
        exact = stats.rice(v, scale=0.01)
        assert found.sd[index].item() == pytest.approx(exact.std(), rel=5e-3)
        assert found.mean[index].item() == pytest.approx(exact.mean(), abs=2e-5)
        assert ends_of(found)[index, 0].tolist() == pytest.approx(exact.ppf(P_ENDS), abs=5e-4)


@pytest.mark.parametrize("coordinates", range(2, 9))
def test_at_the_tip_of_a_cone(coordinates):
    """The distance from the hit has a χ distribution; its Jacobian there is 0, or NaN if it is written so."""
    exact = stats.chi(coordinates)
    for infer in (cone, lambda h: h.square().sum(dim=1, keepdim=True).sqrt()):
        found = propagate_distribution(infer, torch.zeros(1, coordinates, dtype=DOUBLE), covariance=1.0)
        assert found.sd.item() == pytest.approx(exact.std(), rel=5e-3)
        assert found.mean.item() == pytest.approx(exact.mean(), rel=1e-3)


def terms_of(seed):
    """Some functions of one deviate each, with means and variances that add; and a rotation of the deviates."""
    rng = np.random.default_rng(seed)
    size = int(rng.integers(2, 9))
    slope, bend = rng.normal(size=size), 10 ** rng.uniform(-2.5, 0.3) * rng.normal(size=size)
    place = 2 * rng.normal(size=size)
    slope[1:] *= rng.random() < 0.5
    bend *= rng.random(size) < 0.6
    shapes = [
        lambda z, k: (z - k).abs(),
        lambda z, k: z.square(),
        lambda z, k: (k * z).sin(),
        lambda z, k: ((z - k).square() + 0.05).sqrt(),
        lambda z, k: (z - k).square().div(-2).exp(),
        lambda z, k: (0.2 * z).exp(),
    ]
    chosen = rng.integers(0, len(shapes), size=size)
    functions = [
        lambda z, a=a, b=b, k=k, i=i: a * z + b * shapes[i](z, k)
        for a, b, k, i in zip(slope, bend, place, chosen, strict=True)
    ]
    return (
        functions,
        np.linalg.qr(rng.normal(size=(size, size)))[0],
        rng.normal(size=(size, size)),
        rng.normal(size=size),
    )


@pytest.mark.parametrize("seeds", [range(at, at + 20) for at in range(0, 80, 20)], ids=lambda seeds: f"from {seeds[0]}")
def test_sums_of_functions_of_rotated_deviates(seeds):
    for seed in seeds:
        functions, rotation, root, centre = terms_of(seed)
        inverse, centre = torch.from_numpy(rotation.T @ np.linalg.inv(root)), torch.from_numpy(centre)

        def infer(h, functions=functions, inverse=inverse, centre=centre):
            deviates = ((h - centre)[:, None] * inverse).sum(dim=2).unbind(1)
            return sum(each(z) for each, z in zip(functions, deviates, strict=True))[:, None]

        parts = [dense(lambda z, f=f: f(torch.from_numpy(z)).numpy(), 0, 1, points=8001) for f in functions]
        mean, sd = sum(part[0] for part in parts), math.hypot(*(part[1] for part in parts))
        found = propagate_distribution(infer, centre[None], covariance=torch.from_numpy(root @ root.T)[None])
        assert found.sd.item() == pytest.approx(sd, rel=5e-3), seed
        assert found.mean.item() == pytest.approx(mean, abs=5e-3 * sd), seed


@pytest.mark.parametrize("turn", [0.0, 0.4, 2.0])
@pytest.mark.parametrize("bend", [0.01, -0.03])
def test_what_bends_across_its_gradient(turn, bend):
    """z₁ + a z₂² has the mean a and the variance 1 + 2 a², and is not integrated: sd is right to 6.5e-4."""
    rotation = torch.tensor([[math.cos(turn), -math.sin(turn)], [math.sin(turn), math.cos(turn)]], dtype=DOUBLE)

    def infer(h):
        along, across = (h[:, None] * rotation).sum(dim=2).unbind(1)
        return (along + bend * across.square())[:, None]

    found = propagate_distribution(infer, torch.zeros(1, 2, dtype=DOUBLE), covariance=1.0)
    assert found.sd.item() == pytest.approx(math.sqrt(1 + 2 * bend**2), rel=6.5e-4)
    assert found.bias.item() == pytest.approx(bend, rel=1e-9)
    z = np.linspace(-8, 8, 1601)
    weights = stats.norm.pdf(z) / stats.norm.pdf(z).sum()
    below = stats.norm.cdf(ends_of(found)[0, 0].numpy()[:, None] - bend * z**2) @ weights
    np.testing.assert_allclose(below, P_ENDS, rtol=0, atol=4e-4)


def test_a_straight_line_through_three_layers():
    """x and y on three layers: the slope's length is Rice, and the angle of the track is its arctangent."""
    heights = torch.tensor([-1.0, 0.0, 1.0], dtype=DOUBLE)

    def infer(h):
        slopes = (h.unflatten(1, (3, 2)) * heights[:, None]).sum(dim=1) / 2
        return torch.stack([slopes.norm(dim=1), slopes.norm(dim=1).atan()], dim=1)

    sigma, width = 0.01, 0.01 / math.sqrt(2)
    slopes = torch.tensor([0, 0.5, 1.5, 3, 6, 20], dtype=DOUBLE) * width
    direction = torch.tensor([0.8, -0.6], dtype=DOUBLE)
    hits = (slopes[:, None, None] * heights[:, None] * direction + 0.3).flatten(1)
    cov = (sigma**2 * torch.eye(6, dtype=DOUBLE))[None]
    found = propagate_distribution(infer, hits, covariance=cov)
    for index, slope in enumerate(slopes.tolist()):
        exact = stats.rice(slope / width, scale=width)
        assert found.sd[index, 0].item() == pytest.approx(exact.std(), rel=5e-3)
        angles = np.arctan(exact.ppf((np.arange(20_000) + 0.5) / 20_000))
        assert found.sd[index, 1].item() == pytest.approx(angles.std(), rel=5e-3)
        assert ends_of(found)[index, 1].tolist() == pytest.approx(np.arctan(exact.ppf(P_ENDS)), abs=0.05 * width)


@pytest.mark.parametrize("correlation", [-0.9, 0.0, 0.7, 1.0])
def test_the_correlation_of_a_product(correlation):
    """Exactly: σ₁² μ₂² + σ₂² μ₁² + 2 r σ₁ σ₂ μ₁ μ₂ + (1 + r²) σ₁² σ₂²."""
    (a, b), (p, q) = (2.0, -1.0), (0.5, 0.8)
    cov = torch.tensor([[p * p, correlation * p * q], [correlation * p * q, q * q]], dtype=DOUBLE)
    found = propagate_distribution(
        lambda h: h.prod(dim=1, keepdim=True), torch.tensor([[a, b]], dtype=DOUBLE), covariance=cov
    )
    cross = correlation * p * q
    variance = (p * b) ** 2 + (q * a) ** 2 + 2 * cross * a * b + (p * q) ** 2 + cross**2
    assert found.sd.item() == pytest.approx(math.sqrt(variance), rel=5e-3)
    assert found.bias.item() == pytest.approx(cross, abs=2e-3)


@pytest.mark.parametrize("r", [0, 0.9])
@pytest.mark.parametrize("x1", [0.001, 0.01, 0.1])
def test_ends_of_a_distance(x1, r):
    """JCGM 102:2011, 9.3, y = √(x1² + x2²) with u = 0.01: F(y) by a sum over one of the two rotated deviates."""
    infer = lambda h: h.norm(dim=1, keepdim=True)  # noqa: E731
    covariance = 0.01**2 * torch.tensor([[1, r], [r, 1]], dtype=DOUBLE)
    found = propagate_distribution(infer, torch.tensor([[x1, 0.0]], dtype=DOUBLE), covariance=covariance)
    wide, narrow, place = 0.01 * (1 + r) ** 0.5, 0.01 * (1 - r) ** 0.5, x1 / 2**0.5
    z = np.linspace(-9, 9, 20_001)
    weights = stats.norm.pdf(z) * (z[1] - z[0])

    def below(y):
        half = np.sqrt(np.maximum(y**2 - (place + narrow * z) ** 2, 0))
        return weights @ (stats.norm.cdf((half - place) / wide) - stats.norm.cdf((-half - place) / wide))

    exact = [optimize.brentq(lambda y, p=p: below(y) - p, 1e-9, 1.0) for p in P_ENDS]
    assert ((ends_of(found)[0, 0].numpy() - exact) / found.sd.item()).tolist() == pytest.approx([0] * 4, abs=0.02)


@pytest.mark.parametrize("coordinates", [2, 4])
@pytest.mark.parametrize("power", [1, 2])
def test_ends_near_the_tip(coordinates, power):
    """The distance from the origin and its square, of which the quantiles are those of χ²."""
    place = np.random.default_rng(4).normal(size=(300, coordinates))
    place *= (np.linspace(0, 5, 300) / np.linalg.norm(place, axis=1))[:, None]
    infer = lambda h: h.square().sum(dim=1, keepdim=True) ** (power / 2)  # noqa: E731
    found = propagate_distribution(infer, torch.from_numpy(place), sigma=1.0)
    exact = stats.ncx2.ppf(P_ENDS, coordinates, (place**2).sum(axis=1, keepdims=True)) ** (power / 2)
    off = np.abs((ends_of(found)[:, 0].numpy() - exact) / found.sd.numpy()).max(axis=1)
    assert np.quantile(off, 0.9) < 0.02
    assert off.max() < 0.05


def test_errors_tell_how_far_off_it_is():
    """In several coordinates, where the scramblings differ by less than the claimed 5e-3."""
    hits = 0.5 * torch.randn(50, 3, dtype=DOUBLE, generator=torch.Generator().manual_seed(1))
    infer = lambda h: torch.cat([h[:, :1].abs() + h[:, 1:2], cone(h)], dim=1)  # noqa: E731
    found = [propagate_distribution(infer, hits, covariance=1.0, seed=seed) for seed in range(6)]
    scatter = torch.stack([each.sd for each in found]).std(dim=0).square().mean().sqrt()
    claimed = torch.stack([each.sd_error for each in found]).square().mean().sqrt()
    assert 0.6 < (scatter / claimed).item() < 1.6
    assert (claimed / found[0].sd).max() < 5e-3


@pytest.mark.parametrize("coordinates", [2, 5])
def test_a_ratio_has_intervals_only(coordinates):
    """Of two normal deviates around 0: Cauchy's distribution. What is beside it has all."""
    infer = lambda h: torch.cat([h[:, :1] / h[:, 1:2], h[:, :1] + 2 * h[:, 1:2], h[:, :1].abs()], dim=1)  # noqa: E731
    hits = torch.full((2, coordinates), 1e-9, dtype=DOUBLE)
    hits[1, 1] = 50.0
    found = propagate_distribution(infer, hits, covariance=1.0)
    for each in (found.sd, found.mean, found.bias):
        assert each.isnan().tolist() == [[True, False, False], [False, False, False]]
    assert found.sd_error.isinf().tolist() == [[True, False, False], [False, False, False]]
    exact = stats.cauchy.ppf(P_ENDS)
    assert found.interval68[0, 0].tolist() == pytest.approx(exact[:2], rel=0.02)
    assert found.interval95[0, 0].tolist() == pytest.approx(exact[2:], rel=0.08)  # 3 % by chance
    assert found.sd[0, 1:].tolist() == pytest.approx([math.sqrt(5), math.sqrt(1 - 2 / math.pi)], rel=2e-3)
    assert found.sd[1, 0].item() == pytest.approx(1 / 50, rel=2e-3)


def track3d():
    """Its inference with layers at 0, 0.5 and 1 m and σ = 1 mm, and hits of a track with a slope, in σ of a slope."""
    model = load_model(Track3d())
    sigma, z = 1e-3, torch.tensor([0.0, 0.5, 1.0], dtype=DOUBLE)
    width = sigma / math.sqrt(0.5)
    hits = lambda slope: torch.cat([0.1 + 0.8 * slope * width * z, 0.2 - 0.6 * slope * width * z])  # noqa: E731
    return Inference(model, parameters_of(model, {"resolution": 1 / sigma})), hits, sigma, width


@pytest.mark.parametrize("slope", [0.0, 1.0, 3.0, 5.0])
def test_zenith_angle_and_azimuth(slope):
    """θ follows Rice's distribution, and φ that of the angle of a normal deviate in the plane, which is known too."""
    infer, hits, sigma, width = track3d()
    found = propagate_distribution(infer, hits(slope)[None], covariance=sigma**2)
    rice = stats.rice(slope, scale=width)
    assert found.sd[0, 0].item() == pytest.approx(rice.std(), rel=5e-3)
    assert (ends_of(found)[0, 0] / width).tolist() == pytest.approx(rice.ppf(P_ENDS) / width, abs=0.05)
    off = np.linspace(-math.pi, math.pi, 200_001)
    along = slope * np.cos(off)
    density = np.exp(-(slope**2) / 2) + math.sqrt(2 * math.pi) * along * stats.norm.cdf(along) * np.exp(
        -((slope * np.sin(off)) ** 2) / 2
    )
    sd = math.sqrt((density * off**2).sum() / density.sum())
    assert found.sd[0, 1].item() == pytest.approx(sd, rel=5e-3)
    if slope == 0:
        assert sd == pytest.approx(2 * math.pi / math.sqrt(12), rel=1e-4)  # over the whole circle
    exact = np.interp(P_ENDS, density.cumsum() / density.sum(), off)
    azimuth = infer(hits(slope)[None])[0, 1]
    assert ((ends_of(found)[0, 1] - azimuth) / sd).tolist() == pytest.approx(exact / sd, abs=0.05)
    assert found.sd[0, 2:].tolist() == pytest.approx([width] * 2, rel=5e-3)


# Any muon, whatever the others


COMPANY = {
    1: lambda h: torch.cat([1.1 * h.abs(), h, h.square()], dim=1),
    2: lambda h: torch.cat([h[:, :1].abs(), h.square().sum(dim=1, keepdim=True).sqrt()], dim=1),
    4: lambda h: torch.cat([(h[:, 1:2] + h[:, 2:3]) / (h[:, :1] + h[:, 3:]), h[:, :1] - h[:, 2:3].square()], dim=1),
    5: lambda h: h[:, :3].prod(dim=1, keepdim=True) + h[:, 3:].abs().sum(dim=1, keepdim=True),
}


def same(found, expected, coordinates=1):
    """Bit for bit, but for sd_error in one coordinate, whose sums torch takes in another order; it decides nothing."""
    for name, a, b in zip(found._fields, found, expected, strict=True):
        if name == "sd_error" and coordinates == 1:
            torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-15, equal_nan=True)
        else:
            assert torch.equal(a.nan_to_num(9e9), b.nan_to_num(9e9)), name


@pytest.mark.parametrize("coordinates", COMPANY)
def test_a_muon_is_the_same_in_any_company(coordinates):
    generator = torch.Generator().manual_seed(coordinates)
    hits = 3 * torch.rand(60, coordinates, dtype=DOUBLE, generator=generator)
    hits[7, 0] = math.nan
    roots = 0.3 * torch.randn(60, coordinates, coordinates, dtype=DOUBLE, generator=generator)
    for cov in (0.2, roots @ roots.mT):
        work = lambda rows, cov=cov: propagate_distribution(  # noqa: E731
            COMPANY[coordinates], hits[rows], covariance=cov if isinstance(cov, float) else cov[rows]
        )
        whole = work(slice(None))
        for rows in (
            torch.tensor([0]),
            torch.tensor([59]),
            torch.arange(3, 12),
            torch.randperm(60, generator=generator),
        ):
            same(work(rows), type(whole)(*(each[rows] for each in whole)), coordinates)


@pytest.mark.parametrize("coordinates", COMPANY)
def test_blocks_change_nothing(coordinates, monkeypatch):
    hits = 3 * torch.rand(60, coordinates, dtype=DOUBLE, generator=torch.Generator().manual_seed(1))
    variances = torch.rand(60, coordinates, dtype=DOUBLE, generator=torch.Generator().manual_seed(2))
    whole = [propagate_distribution(COMPANY[coordinates], hits, covariance=cov) for cov in (0.2, variances)]
    monkeypatch.setattr(linear, "MUONS_AT_A_TIME", 17)
    monkeypatch.setattr(distribution, "LOOKED_AT_A_TIME", 7 * distribution.PROBES)
    for expected, cov in zip(whole, (0.2, variances), strict=True):
        same(propagate_distribution(COMPANY[coordinates], hits, covariance=cov), expected, coordinates)


def test_seeds():
    hits = torch.tensor([[0.1, 0.2], [3.0, 0.1]], dtype=DOUBLE)
    same(propagate_distribution(cone, hits, covariance=1.0), propagate_distribution(cone, hits, covariance=1.0))
    assert (
        propagate_distribution(cone, hits, covariance=1.0).sd[0]
        != propagate_distribution(cone, hits, covariance=1.0, seed=1).sd[0]
    )
    same(
        propagate_distribution(fold, hits[:, :1], covariance=1.0),
        propagate_distribution(fold, hits[:, :1], covariance=1.0, seed=1),
    )


def test_every_form_of_the_covariance():
    hits = torch.tensor([[0.1, 0.2], [0.5, 0.1], [9.0, 9.0]], dtype=DOUBLE)
    expected = propagate_distribution(cone, hits, covariance=0.25)
    for form in ([0.25, 0.25], [[0.25, 0], [0, 0.25]], [[0.25, 0.25]] * 3, [0.25] * 3, [[[0.25, 0], [0, 0.25]]] * 3):
        same(propagate_distribution(cone, hits, covariance=torch.tensor(form, dtype=DOUBLE)), expected)


def test_full_correlation_is_one_coordinate():
    hits = torch.tensor([[0.0, 0.0, 0.0], [0.3, 0.1, -0.2], [8.0, 0.0, 0.0]], dtype=DOUBLE)
    weights = torch.tensor([1.0, 2.0, -0.5], dtype=DOUBLE)
    cov = weights[:, None] * weights
    found = propagate_distribution(lambda h: h.sum(dim=1, keepdim=True).abs(), hits, covariance=cov[None])
    alone = propagate_distribution(fold, hits.sum(dim=1, keepdim=True), covariance=2.5**2)
    torch.testing.assert_close(found.sd, alone.sd, rtol=3e-3, atol=0)
    assert propagate_distribution(lambda h: h[:, :1] - h[:, 1:2] / 2, hits, covariance=cov[None]).sd.max() < 1e-7


def test_an_observable_that_folds_does_not_touch_one_that_does_not():
    hits = column([0.0, 0.4, 5.0])
    both = propagate_distribution(lambda h: torch.cat([h.abs(), 2 * h], dim=1), hits, covariance=1.0)
    torch.testing.assert_close(
        both.sd[:, :1], propagate_distribution(fold, hits, covariance=1.0).sd, rtol=1e-12, atol=0
    )
    torch.testing.assert_close(both.sd[:, 1], torch.full((3,), 2.0, dtype=DOUBLE), rtol=1e-5, atol=0)
    two = torch.cat([hits, hits], dim=1)
    both = propagate_distribution(lambda h: torch.cat([h[:, :1].abs(), 2 * h[:, 1:]], dim=1), two, covariance=1.0)
    torch.testing.assert_close(both.sd[:, 1], torch.full((3,), 2.0, dtype=DOUBLE), rtol=1e-3, atol=0)


# What is exceptional


@pytest.mark.parametrize("coordinates", [1, 2])
@pytest.mark.parametrize("hit", [math.nan, math.inf, -math.inf])
def test_hits_that_are_not_finite_give_nan_and_spoil_no_other(coordinates, hit):
    hits = torch.full((5, coordinates), 0.2, dtype=DOUBLE)
    alone = propagate_distribution(cone, hits[:1], covariance=1.0)
    hits[[1, 4], -1] = hit
    found = propagate_distribution(cone, hits, covariance=1.0)
    for each, expected in zip(found, alone, strict=True):
        assert each.flatten(1).isnan().all(dim=1).tolist() == [False, True, False, False, True]
        torch.testing.assert_close(each[2:3], expected, rtol=1e-12, atol=1e-15)
    assert all(each.isnan().all() for each in propagate_distribution(cone, hits[1:2], covariance=1.0))


@pytest.mark.parametrize("coordinates", [1, 2])
@pytest.mark.parametrize("infer", [torch.sqrt, torch.log, lambda h: h / 0, lambda h: (400 * h).exp()])
def test_what_is_not_finite_nearby_is_nan(infer, coordinates):
    found = propagate_distribution(
        lambda h: infer(h[:, :1]), torch.full((1, coordinates), 1.5, dtype=DOUBLE), covariance=1.0
    )
    for each in (found.sd, found.interval68, found.interval95):
        assert each.isnan().all()


@pytest.mark.parametrize("coordinates", [1, 2, 3])
def test_without_variance_there_is_no_spread(coordinates):
    hits = torch.tensor([[0.0] * coordinates, [0.5] * coordinates], dtype=DOUBLE)
    for infer, cov in ((cone, 0.0), (lambda h: 0 * h[:, :1] + 0.1, 1.0)):
        found = propagate_distribution(infer, hits, covariance=cov)
        assert (found.sd == 0).all()
        assert (found.bias == 0).all()
        assert (ends_of(found) == infer(hits)[:, :, None]).all()


@pytest.mark.parametrize("coordinates", [1, 2, 3])
@pytest.mark.parametrize("muons", [0, 1])
def test_few_muons(muons, coordinates):
    found = propagate_distribution(
        lambda h: torch.cat([h[:, :1], h[:, :1].abs()], dim=1), torch.zeros(muons, coordinates).double(), covariance=1.0
    )
    shapes = [(muons, 2)] * 3 + [(muons, 2, 2)] * 2 + [(muons, 2)]
    assert [tuple(each.shape) for each in found] == shapes
    assert not any(each.requires_grad for each in found)


def test_single_precision_stays_so_and_is_as_right():
    hits = torch.tensor([[0.0], [0.02], [0.5]])
    single, double = (
        propagate_distribution(infer_theta, hits, covariance=0.01**2),
        propagate_distribution(infer_theta, hits.double(), covariance=0.01**2),
    )
    assert all(each.dtype == torch.float32 for each in single)
    torch.testing.assert_close(single.sd.double(), double.sd, rtol=1e-5, atol=0)
    torch.testing.assert_close(ends_of(single).double(), ends_of(double), rtol=0, atol=1e-6)


@pytest.mark.parametrize("coordinates", [1, 2])
@pytest.mark.parametrize(("scale", "offset"), [(1e-12, 0.0), (1e12, 0.0), (1e-6, 1e6), (1e-3, -1e6)])
def test_any_scale_and_offset(coordinates, scale, offset):
    """Up to the digits that the offset leaves."""
    hits = torch.zeros(3, coordinates, dtype=DOUBLE)
    hits[:, 0] = torch.tensor([0.0, 1.0, 50.0])
    plain, scaled = (
        propagate_distribution(lambda h, s=s, c=c: c + s * cone(h), hits, covariance=1.0)
        for s, c in ((1.0, 0.0), (scale, offset))
    )
    tolerance = 1e-9 + 1e-15 * abs(offset) / scale
    torch.testing.assert_close(scaled.sd / scale, plain.sd, rtol=tolerance, atol=0)
    torch.testing.assert_close((ends_of(scaled) - offset) / scale, ends_of(plain), rtol=0, atol=4 * tolerance)


def test_hits_far_from_zero():
    found = propagate_distribution(lambda h: (h - 1e6).abs(), column([1e6, 1e6 + 0.05]), covariance=1e-3**2)
    assert found.sd[:, 0].tolist() == pytest.approx([1e-3 * math.sqrt(1 - 2 / math.pi), 1e-3], rel=3e-4)


@pytest.mark.parametrize(
    "infer",
    [fold, torch.square, lambda h: h.clamp(min=0), lambda h: 1e3 * (h.abs() - 0.5).clamp(min=0), infer_theta],
    ids=["fold", "square", "ramp", "flat bottom", "theta"],
)
def test_what_can_not_be_negative_has_no_interval_below_zero(infer):
    """Not by a rounding either; and the intervals lie in each other."""
    found = propagate_distribution(infer, column(np.linspace(-8, 8, 2001)), covariance=1.0)
    assert found.interval95.min() >= 0
    low, high = found.interval95.unbind(2)
    assert ((low <= found.interval68[..., 0]) & (found.interval68[..., 1] <= high)).all()
    assert (found.interval68.diff(dim=2) >= 0).all()


def test_no_cone_has_an_interval_below_zero():
    hits = torch.rand(300, 3, dtype=DOUBLE, generator=torch.Generator().manual_seed(1)) ** 2 * 8
    found = propagate_distribution(lambda h: torch.cat([cone(h), h[:, :1].square()], dim=1), hits, covariance=1.0)
    assert ends_of(found).min() >= 0


def test_where_it_is_linear_it_is_the_linear_law():
    hits = torch.randn(100, 3, dtype=DOUBLE, generator=torch.Generator().manual_seed(1))
    cov = covariance_of(3, 5)
    infer = lambda h: (h * torch.tensor([1.0, -2.0, 0.3]).double()).sum(dim=1, keepdim=True)  # noqa: E731
    found, linear = propagate_distribution(infer, hits, covariance=cov), propagate(infer, hits, covariance=cov)
    torch.testing.assert_close(found.sd, linear.sigma, rtol=1e-10, atol=0)
    expected = linear.value[:, :, None] + linear.sigma[:, :, None] * torch.from_numpy(stats.norm.ppf(P_ENDS))
    torch.testing.assert_close(ends_of(found), expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(
    ("hits", "covariance", "message"),
    [
        (torch.zeros(2, 1, dtype=torch.int64), 1.0, "hits"),
        (torch.tensor(0.0), 1.0, "hits"),
        (torch.zeros(2, 1, 1), 1.0, "hits"),
        (torch.zeros(2, 1), -1.0, "negative"),
        (torch.zeros(2, 1), torch.ones(3), "covariance has shape"),
    ],
)
def test_mistakes_are_refused(hits, covariance, message):
    with pytest.raises(Exception, match=message):
        propagate_distribution(fold, hits, covariance=covariance)
