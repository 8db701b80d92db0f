"""Pseudo-experiments against the covariance of muons that share systematics, and against pulls one can work out."""

import math
from dataclasses import astuple

import numpy as np
import pytest
import torch
from oracles import best_line
from running import FEW, Run
from typechecker import unchecked

from pullback.detector.bound_model import Inference, hit_covariance, parameters_of
from pullback.detector.known import Known
from pullback.detector.noise import factor
from pullback.detector.reconstruction import ShiftedMuons
from pullback.detector.response import Response
from pullback.steps import pseudo_experiments
from pullback.steps.pseudo_experiments import EXPERIMENTS_AT_A_TIME, NoiseOfBlock, run_experiments
from pullback.study import shared_parameters
from pullback.study.plan import Study
from pullback.uncertainty.covariance import cholesky
from pullback.uncertainty.elementwise import whole_vectors
from pullback.uncertainty.systematics import systematic_jacobian
from pullback.uncertainty.toys import ToySetup

SYSTEMATICS = {
    "model.z[1]": 0.05,
    "alignment.x[2]": 0.02,
    "correlations": {"model.z[1], alignment.x[2]": 0.6},
}
EXPERIMENTS = 1500
FOUR_SIGMA = 4 / math.sqrt(2 * EXPERIMENTS)
"""Of a relative standard deviation over the experiments."""


def part_of(name, systematics=SYSTEMATICS, **more):
    raw = {"study": "s", "model": {"name": name}, "systematics": systematics, "toys": {"experiments": EXPERIMENTS}}
    study = Study.from_config({**raw, "detector": {"resolution": 100.0}, **more})
    (batch,) = study.batches
    (part,) = study.batch("toys", batch).parts
    return part


def said(part, hits):
    """By the linear law: throw, covariance of the observables of each muon, G, and Σ_η."""
    parameters = parameters_of(part.model, part.config.detector.stated)
    infer, section = Inference(part.model, parameters), part.config.systematics
    sigma_x = hit_covariance(part.model, parameters, hits)
    names = shared_parameters.names_of(section)
    shifted = shared_parameters.Shifted(part.model, parameters, names)
    G = systematic_jacobian(shifted, hits, torch.zeros(len(names), dtype=torch.float64)).numpy()
    return (
        ToySetup(infer, hits, sigma_x.sqrt().expand(hits.shape)),
        G,
        shared_parameters.shift_covariance(section),
    )


def run(part, hits, spread):
    throw, G, sigma_eta = said(part, hits)
    return thrown(part, throw, spread), G, sigma_eta


def thrown(part, throw, spread, seeds=(1, 2), mean=None):
    """The experiments; the mean of toys is the value at the hits, unless it is given."""
    mean = throw.infer(throw.hits).numpy() if mean is None else mean
    with unchecked():
        shifts, noise = map(np.random.default_rng, seeds)
        (found,) = run_experiments(part, throw, mean, spread, shifts, [NoiseOfBlock(len(mean), noise)])
        return found


def tracks(slopes, z=(0.0, 0.5, 1.0)):
    return torch.tensor([[0.3 + slope * height for height in z] for slope in slopes], dtype=torch.float64)


SLOPES = np.linspace(0.4, 1.2, 15)
SPREAD = 0.01 * math.sqrt(2)
"""σ of the slope of three layers over 1 m."""


def test_muons_scatter_by_their_total_sigma_and_their_mean_by_what_they_share():
    spread = np.full((15, 3), SPREAD)
    found, G, sigma_eta = run(part_of("track"), tracks(SLOPES), spread)
    assert found.count.tolist() == [15, 15, 15]
    shared = np.einsum("mok,kl,mol->mo", G, sigma_eta, G)[:, 0]
    np.testing.assert_allclose(found.sd[:, 0], np.sqrt(SPREAD**2 + shared), rtol=FOUR_SIGMA)
    assert (shared > 0.2 * SPREAD**2).all()
    mean = G[:, 0].mean(axis=0)
    between = mean @ sigma_eta @ mean
    expected = math.sqrt(1 / 15 + between / SPREAD**2)
    assert (found.pull[:, 0] / 15).std(ddof=1) == pytest.approx(expected, rel=FOUR_SIGMA)
    assert expected > 2 * math.sqrt(1 / 15)


def test_pulls_are_from_the_mean_of_toys_over_their_spread():
    spread = np.stack([np.full(15, SPREAD), np.linspace(0.005, 0.02, 15), np.full(15, 0.02)], axis=1)
    part, hits = part_of("track", {"alignment.x[2]": 0.02}), tracks(SLOPES)
    found, *_ = run(part, hits, spread)
    throw, *_ = said(part, hits)
    off = throw.infer(hits).numpy() - 0.5 * spread  # toys whose mean is half a σ below
    moved = thrown(part, throw, spread, mean=off)
    np.testing.assert_allclose(moved.pull, found.pull + 0.5 * 15, rtol=1e-9)
    np.testing.assert_allclose(moved.sd, found.sd, rtol=1e-9)
    wider = thrown(part, throw, 2 * spread)
    np.testing.assert_allclose(wider.pull, found.pull / 2, rtol=1e-9)
    # Σ pull² over experiments, of muons that scatter by sd each.
    np.testing.assert_allclose(found.square.mean(axis=0), np.square(found.sd / spread).sum(axis=0), rtol=5e-3)


def test_the_shifts_of_all_blocks_are_the_same_and_their_noise_is_not():
    part, hits = part_of("track", {"alignment.x[2]": 1.0}), tracks(SLOPES)
    throw, *_ = said(part, hits)
    spread = np.full((15, 3), 0.1)
    of = lambda *seeds: thrown(part, throw, spread, seeds).pull[:, 0]  # noqa: E731
    one, other, none = of(1, 2), of(1, 3), of(4, 3)
    assert np.corrcoef(one, other)[0, 1] > 0.99
    assert abs(np.corrcoef(other, none)[0, 1]) < 4 / math.sqrt(EXPERIMENTS)
    assert (one != other).all()


@pytest.mark.parametrize("systematics", [SYSTEMATICS, {"alignment.x[2]": 0.02, "alignment.scale_x[1]": 0.01}])
@pytest.mark.parametrize("theta0", [0.0, 0.01])
def test_muons_of_a_block_do_not_depend_on_those_of_others(systematics, theta0):
    """Neither where shifts move hits alone nor where they move layers; also where muons have weights of their own."""
    model = {"name": "track", "z": [0.0, 0.5, 1.0], "theta0": theta0}
    part = part_of("track", systematics, model=model)
    hits, spread = tracks(SLOPES), np.full((15, 3), SPREAD)
    hits[::4, 0] = math.nan
    mean = Inference(part.model, parameters_of(part.model, part.config.detector.stated))(hits).numpy()

    def found(*blocks):
        rows = whole_vectors(torch.cat([torch.arange(15)[block] for block in blocks]))
        noise = [NoiseOfBlock(each.stop - each.start, np.random.default_rng(each.start)) for each in blocks]
        throw = Response(part).around_hits(hits[rows], Known())
        with unchecked():
            return run_experiments(part, throw, mean[rows], spread[rows], np.random.default_rng(1), noise)

    first, rest = slice(0, 4), slice(4, 15)
    together = found(first, rest)
    for alone, with_others in zip([*found(first), *found(rest)], together, strict=True):
        for name in ("sd", "count", "pull", "square"):
            assert getattr(alone, name).tobytes() == getattr(with_others, name).tobytes(), name
    assert together[0].count.tolist() == [4, 4, 4]


LINES = {"name": "track3d", "z": [0.0, 0.5, 1.0], "theta0": 0.01}


@pytest.mark.parametrize(
    ("systematics", "model", "own_heights"),
    [
        ({"alignment.x[2]": 0.02, "alignment.rotation[1]": 0.03}, {**LINES, "theta0": 0}, False),
        ({"model.z[1]": 0.05, "alignment.y[0]": 0.02, "alignment.rotation[2]": 0.03}, LINES, False),
        ({"model.z[0]": 0.05, "model.z[1]": 0.02, "alignment.scale_y[2]": 0.01}, LINES, True),
        ({"model.z[0]": 0.05, "model.z[1]": 0.02}, {**LINES, "name": "track", "at": [3.0]}, False),
    ],
)
def test_experiments_at_once_are_those_one_by_one(monkeypatch, systematics, model, own_heights):
    part = part_of(model["name"], systematics, model=model, toys={"experiments": 100})
    slopes = np.random.default_rng(3).uniform(0.3, 1.0, (32, 2))
    layers = torch.tensor(LINES["z"], dtype=torch.float64)
    hits = torch.cat([torch.from_numpy(slopes[:, [view]]) * layers for view in range(len(part.model.lines))], dim=1)
    hits[::4, 1] = math.nan
    known = Known(z=(1 + torch.linspace(-0.05, 0.05, 32)[:, None]) * layers.expand(32, -1)) if own_heights else Known()
    mean = np.random.default_rng(4).uniform(1, 2, size=(32, len(part.model.observables)))

    def found():
        throw, noise = Response(part).around_hits(hits, known), NoiseOfBlock(32, np.random.default_rng(2))
        with unchecked():
            (each,) = run_experiments(part, throw, mean, mean / 100, np.random.default_rng(1), [noise], known)
        return astuple(each)

    at_once, begin, differed = found(), ShiftedMuons.__init__, []

    def one_by_one(self, *arguments):
        begin(self, *arguments)
        differed.append(self.differ_by_muon)
        self.differ_by_muon = False

    monkeypatch.setattr(ShiftedMuons, "__init__", one_by_one)
    for one, other in zip(found(), at_once, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-11, atol=1e-11)
    assert differed == [True]
    assert all(np.isfinite(each).all() for each in at_once)


@pytest.mark.parametrize("held", [1, 1 << 25])
def test_each_block_has_noise_of_its_own(tmp_path, block, monkeypatch, held):
    """Also where few blocks are held at a time; shifts that are nothing leave the pulls of noise alone."""
    monkeypatch.setattr("pullback.steps.toys.PULLS_AT_A_TIME", held)
    toys = {"muons": 60, "per_muon": 100, "experiments": 2000}
    raw = {"study": "s", "source": {"muons": 3 * block}, **FEW, "toys": toys, "systematics": {"model.dz": 1e-12}}
    pulls = Run(raw, tmp_path).make().columns()["nominal/experiments/pull_theta"]
    assert pulls.shape == (3, 2000)
    assert abs(np.corrcoef(pulls) - np.eye(3)).max() < 4 / math.sqrt(2000)


@pytest.mark.parametrize("name", ["alignment.x[2]", "model.z[1]"])
def test_muons_of_all_blocks_are_inferred_together(tmp_path, block, monkeypatch, name):
    """Each block with a few of them would take as long as all; and where shifts move hits alone, all experiments."""
    inferred, experiments = [], []

    def counted(self, arguments, eta, infer=ShiftedMuons.__call__):
        if not eta.requires_grad and len(arguments) >= 64:  # else for derivatives, and a check of a few muons
            inferred.append(len(arguments))
        return infer(self, arguments, eta)

    def counting(part, throw, mean, spread, shift_rng, blocks, known, run=run_experiments):
        with monkeypatch.context() as patched:
            patched.setattr(ShiftedMuons, "__call__", counted)
            experiments.append([each.muons for each in blocks])
            return run(part, throw, mean, spread, shift_rng, blocks, known)

    monkeypatch.setattr(pseudo_experiments, "run_experiments", counting)
    toys = {"muons": 50, "per_muon": 2, "experiments": 2 * EXPERIMENTS_AT_A_TIME + 1}
    raw = {"study": "s", "source": {"muons": 3 * block}, "model": {"name": "track"}, **FEW, "toys": toys}
    Run({**raw, "systematics": {name: 0.001}}, tmp_path).make()
    assert experiments == [[16, 17, 17]]
    at_once = EXPERIMENTS_AT_A_TIME if name.startswith("alignment") else 1
    assert inferred == [64 * at_once] * (len(inferred) - 1) + [64]
    assert sum(inferred) == 64 * toys["experiments"]


def test_what_is_not_known_is_left_out_of_every_sum():
    hits = tracks(SLOPES)
    hits[3, :2] = math.nan
    hits[5, 0] = math.nan  # two are enough
    hits[7, 1] = math.inf
    spread = np.full((15, 3), SPREAD)
    spread[9, 1], spread[10, 1] = math.nan, 0.0
    found, *_ = run(part_of("track"), hits, spread)
    assert found.count.tolist() == [13, 11, 13]
    assert np.flatnonzero(np.isnan(found.sd[:, 0])).tolist() == [3, 7]
    assert np.flatnonzero(np.isnan(found.sd[:, 1])).tolist() == [3, 7, 9, 10]
    assert all(np.isfinite(each).all() for each in (found.pull, found.square))


def test_muons_near_a_fold_are_left_out_of_what_folds_there():
    """By the total σ: a shift of all muons folds them as noise does."""
    slopes = np.array([0.0, 0.05, 0.06, 0.08, 0.2, 0.5])
    spread = np.full((6, 3), SPREAD)
    found, *_ = run(part_of("track", {"alignment.x[2]": 1e-9}), tracks(slopes), spread)
    assert np.isnan(found.sd).tolist() == [[False, slope < 5 * SPREAD, False] for slope in slopes]
    found, *_ = run(part_of("track", {"alignment.x[2]": 0.03}), tracks(slopes), spread)
    assert np.isnan(found.sd[:, 1]).tolist() == [slope < 5 * math.hypot(SPREAD, 0.03) for slope in slopes]
    assert found.count.tolist() == [6, 2, 6]


def test_an_observable_with_a_domain_of_its_own_is_left_out_up_to_there():
    """The point of closest approach is nowhere near Gaussian, nor has it a σ, at 5 σ of the scattering angle."""
    from pullback import propagate

    study = {"systematics": {"alignment.x[2]": 1e-9}, "detector": {"resolution": 5000.0}}
    part = part_of("scatter", **study)
    z = torch.tensor([0.6, 0.8, 1.0, -0.6, -0.8, -1.0], dtype=torch.float64)
    slopes = torch.linspace(5e-4, 1e-2, 40, dtype=torch.float64)[:, None]
    hits = torch.cat([torch.where(z < 0, slopes * z, 0.0 * slopes), 0.0 * slopes * z], dim=1)
    throw, *_ = said(part, hits)
    found = propagate(throw.infer, hits, covariance=0.0002**2)
    sd = thrown(part, throw, found.sigma.numpy()).sd
    names = [each.name for each in part.model.observables]
    distance = (found.value / found.sigma)[:, names.index("theta_msc")].numpy()
    assert ((distance > 5) & (distance < 10)).sum() > 3
    for name, limit in (("theta_msc", 5.0), ("poca_x", 10.0), ("poca_z", 10.0)):
        assert np.isnan(sd[:, names.index(name)]).tolist() == (distance < limit).tolist()


def test_angles_on_a_circle_are_taken_the_shorter_way_round():
    """Muons from just either side of φ = π, shifted across it by all experiments."""
    tx = torch.tensor([[0.5], [0.5], [-0.5]], dtype=torch.float64)
    ty = torch.tensor([[1e-4], [-1e-4], [1e-4]], dtype=torch.float64)
    z = torch.tensor([0.0, 0.5, 1.0], dtype=torch.float64)
    hits = torch.cat([tx * z, ty * z], dim=1)
    part = part_of("track3d", {"alignment.y[2]": 0.05})
    found, G, _ = run(part, hits, np.full((3, 4), SPREAD))
    phi = [each.name for each in part.model.observables].index("phi")
    expected = np.sqrt((SPREAD / 0.5) ** 2 + (G[:, phi, 0] * 0.05) ** 2)
    np.testing.assert_allclose(found.sd[:, phi], expected, rtol=0.1)  # atan2 bends a little; a turn would be 2π


@pytest.mark.parametrize("noise", ["gaussian", "strip", {"kind": "strip", "pitch": 0.1}])
def test_the_noise_is_that_of_the_detector(noise):
    part = part_of("track", {"alignment.x[2]": 1e-9}, detector={"resolution": 100.0, "noise": noise})
    throw, *_ = said(part, tracks(SLOPES))
    throw = throw._replace(noise=throw.noise * torch.from_numpy(factor(part.config.detector.noise, np.full(3, 100.0))))
    found = thrown(part, throw, np.full((15, 3), SPREAD))
    width = 0.1 / math.sqrt(12) * math.sqrt(2) if isinstance(noise, dict) else SPREAD
    np.testing.assert_allclose(found.sd[:, 0], width, rtol=FOUR_SIGMA)


@pytest.mark.parametrize("fit", ["gls", "ols"])
def test_scattering_is_thrown_too(fit):
    part = part_of("track", {"alignment.x[2]": 0.02}, model={"name": "track", "theta0": 0.02, "fit": fit})
    parameters = parameters_of(part.model, {"resolution": 100.0})
    hits = tracks(SLOPES)
    sigma_x = hit_covariance(part.model, parameters, hits)
    roots = [torch.diag_embed(torch.full((1, 3), 0.01, dtype=torch.float64)), cholesky(sigma_x - 1e-4 * torch.eye(3))]
    throw = ToySetup(Inference(part.model, parameters), hits, 0.0, torch.cat(roots, dim=2))
    found = thrown(part, throw, np.full((15, 3), 0.02))
    weights = np.array([-1.0, 0.0, 1.0])  # of three layers in the slope
    if fit == "gls":
        weights = np.array([best_line(unit, [0.0, 0.5, 1.0], sigma_x[0].numpy())[0][1] for unit in np.eye(3)])
    expected = math.sqrt(weights @ sigma_x[0].numpy() @ weights + (0.02 * weights[2]) ** 2)
    np.testing.assert_allclose(found.sd[:, 0], expected, rtol=FOUR_SIGMA)
