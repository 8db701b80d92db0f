"""Each sabotage turns the verdict to fail, with the right question named; honest studies near a fold pass."""

import numpy as np
import pytest
from running import ENOUGH, Run

from pullback.detector import response
from pullback.models import multiple_scattering
from pullback.steps import components
from pullback.uncertainty import quoting
from pullback.validation.evidence import Evidence

ONE_HIT = {"study": "s", "source": {"muons": 20_000}, "toys": {"muons": 300}, **ENOUGH}
TRACK = {
    "study": "s",
    "source": {"muons": 20_000, "cosmic": {"zenith_max": 0.8}},
    "model": {"name": "track", "z": [0.0, 0.3, 0.6, 1.0]},
    "detector": {"resolution": [2000, 2000, 1000, 2000], "efficiency": 0.9},
    "toys": {"muons": 300},
    "coverage": {"toys_per_bin": 20_000},
}
"""Few toys around the truth: a sabotage must be seen all the same."""


def answers(run):
    """The verdicts on the three questions, and the sentence on the truth."""
    found = Evidence.read(run.outputs.validation).answers
    return {name: str(each.verdict) for name, each in found.each.items()}, found.truth.sentence


@pytest.fixture(scope="module")
def one_hit(tmp_path_factory):
    return Run(ONE_HIT, tmp_path_factory.mktemp("one_hit")).make()


@pytest.fixture(scope="module")
def track(tmp_path_factory):
    return Run(TRACK, tmp_path_factory.mktemp("track")).make()


def test_the_honest_study_passes(one_hit):
    verdicts, sentence = answers(one_hit)
    assert verdicts == {"propagation": "pass", "truth": "pass", "data": "can't be tested: as many parameters as hits"}
    assert sentence.startswith("The truth is covered")


BENT = """
import torch

def infer(hits, zeta):
    return torch.stack([zeta * hits[:, 1].asinh()], dim=1)

def throw(rng, muons, zeta):
    return rng.standard_normal((muons, 2))
"""


def test_a_model_that_says_nothing_of_its_folds_passes(tmp_path, monkeypatch):
    """No quantity is known not to fold: there are no pulls, and toys around true hits decide."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bent.py").write_text(BENT)
    model = {
        "name": "own",
        "file": "bent.py",
        "coordinates": ["a", "b"],
        "parameters": {"zeta": 2.0},
        "observables": [{"name": "bent", "unit": "m"}],
    }
    run = Run({**ONE_HIT, "model": model}, tmp_path).make().show()
    verdicts, sentence = answers(run)
    assert verdicts["propagation"] == verdicts["truth"] == "pass"
    assert sentence.startswith("The truth is covered")
    assert not Evidence.read(run.outputs.validation).smeared[0].pulls


def smeared(change):
    """`smear` with something wrong with its arguments x_true, resolution and noise."""
    right = response.smear
    return lambda *arguments: right(*change(*arguments))


def uniform(rng, shape):
    return (rng.random(shape) - 0.5) * np.sqrt(12)


# What is wrong in the smeared muons alone, or with the detector wherever it is simulated.
SPOILT = [("reco",), ("reco", "coverage")]


@pytest.mark.parametrize("spoilt", SPOILT)
@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda x, k, d: (x, k, d + 1.0), "mean"),  # shifted by 1 σ
        (lambda x, k, d: (0.995 * x, k, d), "mean"),  # a gain
        (lambda x, k, d: (x, k, 1.04 * d), "width"),  # 4 % too wide
    ],
)
def test_smearing_that_is_wrong(one_hit, tmp_path, spoilt, change, reason):
    verdicts, sentence = answers(one_hit.sabotaged(tmp_path, spoilt, response, "smear", smeared(change)))
    assert (verdicts["propagation"], verdicts["truth"]) == ("pass", "fail")
    assert sentence.startswith("The truth is not covered")
    assert reason in sentence


@pytest.mark.parametrize("spoilt", SPOILT)
def test_uniform_noise_of_the_right_width(one_hit, tmp_path, spoilt):
    wrong = lambda noise, rng, shape: uniform(rng, shape)  # noqa: E731
    verdicts, _ = answers(one_hit.sabotaged(tmp_path, spoilt, response.noise, "draw", wrong))
    assert (verdicts["propagation"], verdicts["truth"]) == ("pass", "fail")


@pytest.mark.usefixtures("block")
def test_the_same_noise_in_every_block(tmp_path):
    honest = Run(ONE_HIT, tmp_path / "honest").make()
    assert answers(honest)[0]["truth"] == "pass"
    right = response.stream_of
    wrong = lambda part, purpose, index: right(part, purpose, 0 if purpose == "noise" else index)  # noqa: E731
    verdicts, sentence = answers(honest.sabotaged(tmp_path / "wrong", "reco", response, "stream_of", wrong))
    assert verdicts["truth"] == "fail"
    assert "repeat from block to block" in sentence


def test_a_budget_with_permuted_layers(track, tmp_path):
    right = components.uncertainty_budget

    def wrong(*arguments):
        budget = right(*arguments)
        return budget._replace(shares=budget.shares.roll(1, dims=2))

    verdicts, sentence = answers(track.sabotaged(tmp_path, "sigma", components, "uncertainty_budget", wrong))
    assert answers(track)[0]["truth"] != "fail"
    assert verdicts["truth"] == "fail"
    assert "of the variance of toys, but" in sentence


def test_losses_of_whole_muons_in_place_of_single_hits(track, tmp_path):
    right = response.Response.draw

    def wrong(self, block):
        drawn = right(self, block)
        return drawn._replace(chances=np.repeat(drawn.chances[:, :1], drawn.chances.shape[1], axis=1))

    verdicts, sentence = answers(track.sabotaged(tmp_path, "reco", response.Response, "draw", wrong))
    assert verdicts["truth"] == "fail"
    assert "all layers" in sentence


def test_layers_that_scatter_in_the_wrong_order(tmp_path):
    """Of a detector whose layers scatter, muons are stepped upwards in place of downwards."""
    raw = {**TRACK, "model": {**TRACK["model"], "theta0": 0.002}, "detector": {"resolution": 5000}}
    honest = Run(raw, tmp_path / "honest").make()
    assert "fail" not in answers(honest)[0].values()
    right = multiple_scattering.stepped_through
    from pullback.models import track as track_model

    wrong = lambda kicks, z, theta0: right(kicks, -np.asarray(z), theta0)  # noqa: E731
    spoilt = ("reco", "coverage")
    verdicts, _ = answers(honest.sabotaged(tmp_path / "wrong", spoilt, track_model, "stepped_through", wrong))
    assert (verdicts["propagation"], verdicts["truth"]) == ("pass", "fail")


@pytest.mark.parametrize("x_max", [0.002, 1e-9])
def test_an_honest_study_at_the_fold_passes(tmp_path, x_max):
    """All muons are within 0.2 σ of the fold; today's coverage interval holds the truth for none or few of them."""
    raw = {**ONE_HIT, "source": {"muons": 20_000, "x_min": -x_max, "x_max": x_max}}
    run = Run(raw, tmp_path).make()
    verdicts, sentence = answers(run)
    assert verdicts["truth"] == "pass", sentence
    (entry,) = Evidence.read(run.outputs.validation).points
    first = entry.truth.bins[0]
    assert first.muons == 20_000
    assert first.coverage.confidence68.value == pytest.approx(0.6827, abs=0.008)
    assert first.coverage.interval68.value < 0.6


def test_quoted_confidence_intervals_that_are_too_narrow(one_hit, tmp_path):
    """Those that the artefact holds, not those that toys around the truth compute."""
    right = quoting.by_parts

    def wrong(*arguments):
        ends = right(*arguments)
        middle = ends.confidence68.mean(dim=2, keepdim=True)
        return ends._replace(confidence68=middle + 0.9 * (ends.confidence68 - middle))

    verdicts, sentence = answers(one_hit.sabotaged(tmp_path, ("sigma",), quoting, "by_parts", wrong))
    assert (verdicts["propagation"], verdicts["truth"]) == ("pass", "fail")
    assert "the quoted 68.27 % confidence interval of theta holds the truth for 6" in sentence


def test_confidence_intervals_that_are_too_narrow(one_hit, tmp_path):
    from pullback.steps import truth_toys

    right = truth_toys.confidence_interval

    def wrong(*arguments, **options):
        found = right(*arguments, **options)
        middle = found.confidence68.mean(dim=2, keepdim=True)
        return found._replace(confidence68=middle + 0.95 * (found.confidence68 - middle))

    verdicts, sentence = answers(one_hit.sabotaged(tmp_path, "coverage", truth_toys, "confidence_interval", wrong))
    assert verdicts["truth"] == "fail"
    assert "coverage of the 68.27 % confidence interval" in sentence
