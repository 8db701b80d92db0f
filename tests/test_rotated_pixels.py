"""The resolution of rotated and stretched layers: of pixels that are longer in x than in y."""

import numpy as np
import pytest
import torch
from running import FEW, Run
from typechecker import unchecked

from pullback.detector.bound_model import hit_covariance, parameters_of
from pullback.detector.known import Known
from pullback.detector.reconstruction import Reconstruction
from pullback.detector.response import Response, generated, true_hits
from pullback.steps.fit_comparison import FitComparison
from pullback.study.aligning import placement_of
from pullback.study.artefact_configs import SigmaConfig
from pullback.study.blocks import Block
from pullback.study.plan import Study
from pullback.validation.evidence import Evidence

X, Y = 72e-6, 14.4e-6
Z = [0.0, 0.02, 0.05, 0.07, 0.11]
TURNED = {"rotation": [0.0, 0.1, -0.1, 0.08, 0.0], "scale_x": [0.0, 0.0, 0.1, 0.0, 0.0], "y": [0, 1e-3, 0, 0, 0]}
RAW = {
    "study": "s",
    "source": {"muons": 8000, "beam": {"spread": 2e-3, "spot": 5e-3}},
    "model": {"name": "track3d", "z": Z},
    "detector": {"sigma": {"x": X, "y": Y}, "misalignment": TURNED},
    "alignment": TURNED,
}


def part_of(raw=RAW):
    return Study.from_config(raw).first_part("nominal")[0].of_kind(SigmaConfig)


def turned(covariance):
    """T Σ Tᵀ of the layers, by complex numbers: x + iy becomes (s_x x + iy) exp(iφ)."""
    T = np.zeros((10, 10))
    for layer, (phi, scale) in enumerate(zip(TURNED["rotation"], TURNED["scale_x"], strict=True)):
        for column, unit in ((layer, 1 + scale), (5 + layer, 1j)):
            T[[layer, 5 + layer], column] = (moved := unit * np.exp(1j * phi)).real, moved.imag
    return T @ covariance @ T.T


STATED = np.diag(np.repeat([X, Y], 5) ** 2)


def covariance_of(part, hits, recorded=None):
    recorded = None if recorded is None else torch.from_numpy(recorded)
    parameters, placement = parameters_of(part.model, part.config.detector.stated), placement_of(part)
    found = hit_covariance(part.model, parameters, hits, recorded, placement=placement)
    return found.numpy()


def test_the_stated_resolution_turns_with_its_layer():
    """σ_y'² = σ_y² cos²φ + σ_x² sin²φ is 11 % larger in σ at 0.1 rad."""
    (found,) = covariance_of(part_of(), torch.zeros(3, 10).double())
    np.testing.assert_allclose(found, turned(STATED), rtol=1e-12, atol=1e-25)
    wider = np.sqrt(Y**2 * np.cos(0.1) ** 2 + X**2 * np.sin(0.1) ** 2)
    assert np.sqrt(found[6, 6]) == pytest.approx(wider)
    assert wider / Y == pytest.approx(1.113, abs=1e-3)
    assert np.sqrt(found[2, 2] / found[0, 0]) == pytest.approx(1.1, rel=0.006)


def test_recorded_covariances_turn_too():
    rng = np.random.default_rng(1)
    variances = rng.uniform(1, 4, (6, 10)) * 1e-10
    variances[2, 3] = np.nan  # unknown, so that of the detector
    root = rng.normal(size=(6, 10, 10)) * 1e-5
    for recorded in (variances, root @ root.transpose(0, 2, 1)):
        own = np.array([np.diag(each) for each in recorded]) if recorded.ndim == 2 else recorded
        if recorded.ndim == 2:
            own[2, 3, 3] = X**2
        found = covariance_of(part_of(), torch.zeros(6, 10).double(), recorded)
        np.testing.assert_allclose(found, [turned(each) for each in own], rtol=1e-11, atol=1e-22)


def test_layers_that_are_only_stretched_keep_variances():
    part = part_of({**RAW, "detector": {"sigma": {"x": X, "y": Y}}, "alignment": {"scale_y": [0, 0.1, 0, 0, -0.05]}})
    found = covariance_of(part, torch.zeros(3, 10).double())
    assert found == pytest.approx(np.square([[X] * 5 + [Y, 1.1 * Y, Y, Y, 0.95 * Y]]))
    matrices = covariance_of(part, torch.zeros(10, 10).double(), np.full((10, 10), 1e-10))
    assert matrices.shape == (10, 10, 10)  # as many muons as coordinates


def simulated(part):
    block = Block(0, 0, part.muons)
    response = Response(part)
    return torch.from_numpy(response.record(true_hits(part, generated(part, block)), response.draw(block)))


def chi2_of(part, hits, placement, by_lines):
    parameters = parameters_of(part.model, part.config.detector.stated)
    with unchecked():
        reconstruction = Reconstruction(part.model, parameters, by_lines, placement)
        return FitComparison(reconstruction).compared(hits, Known(), 0, len(hits)).chi2.numpy()


@pytest.mark.parametrize("by_lines", [True, False])
def test_simulated_hits_have_this_covariance(by_lines):
    """χ² has the mean and the variance of 6 degrees of freedom, and does not without the rotation."""
    part = part_of()
    hits = simulated(part)
    placed, straight = (chi2_of(part, hits, each, by_lines) for each in (placement_of(part), None))
    assert placed.mean() == pytest.approx(6, abs=4 * np.sqrt(12 / 8000))
    assert placed.var() == pytest.approx(12, rel=0.12)
    assert straight.mean() > 6.3


@pytest.mark.parametrize("noise", ["gaussian", "strip"])
@pytest.mark.parametrize("recorded", [False, True])
def test_toys_have_this_covariance(noise, recorded):
    """Their deviations are those of the layers, in their place: A Aᵀ = T Σ Tᵀ, and strips stay uniform."""
    part = part_of({**RAW, "detector": {**RAW["detector"], "noise": noise}})
    hits = torch.zeros(3, 10).double()
    own = np.full((3, 10), 1e-10) * np.arange(1, 4)[:, None] if recorded else None
    known = Known(None if own is None else torch.from_numpy(own))
    factor = Response(part).around_hits(hits, known).factor
    unit = 1 / 12 if noise == "strip" else 1.0
    found = (unit * factor @ factor.mT).numpy()
    stated = np.broadcast_to(covariance_of(part, hits, own), found.shape)
    np.testing.assert_allclose(found, stated, rtol=1e-11, atol=1e-25)
    assert np.count_nonzero(np.abs(factor[0, 1].numpy()) > 1e-20) == 2  # of x1 and y1 alone


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    raw = {**RAW, **FEW, "source": {**RAW["source"], "muons": 3000}, "toys": {"muons": 40, "per_muon": 1000}}
    return Run(raw, tmp_path_factory.mktemp("turned")).make()


def test_a_study_of_rotated_pixels_agrees_with_its_truth(study):
    evidence = Evidence.read(study.outputs.validation)
    assert "fail" not in {str(each.verdict) for each in evidence.answers.each.values()}
    columns = study.columns("nominal")
    pulls = (columns["ty"] - columns["ty_true"]) / columns["sigma_ty"]
    assert pulls.std() == pytest.approx(1, abs=4 / np.sqrt(2 * 3000))


def test_the_budget_has_the_correlations_of_hits(study):
    shares = study.columns("nominal")["budget_ty"]
    assert shares.shape[1] == 6  # five layers and the correlations
    np.testing.assert_allclose(shares.sum(axis=1), study.columns("nominal")["sigma_ty_linear"] ** 2, rtol=1e-9)
