"""The validation must be able to fail: each sabotage is put where a real bug would be."""

import csv
from contextlib import contextmanager
from functools import partial

import pytest
from conftest import Run

from pullback import infer_theta, propagation, steps, toys
from pullback.errors import PullbackError
from pullback.evidence import read_evidence, write_evidence
from pullback.propagation import Propagated
from pullback.streams import stream
from pullback.verdict import check

DEFAULT = {"study": "default"}


def evidence_of(run):
    return read_evidence(run.outputs.validation)


def sabotaged(tmp_path, monkeypatch, rule, target, name, wrong):
    """The evidence of a default study in which one rule uses something wrong."""

    @contextmanager
    def spoil(running):
        with monkeypatch.context() as patch:
            if running == rule:
                patch.setattr(target, name, wrong)
            yield

    return evidence_of(Run(DEFAULT, tmp_path).make(spoil))


def reasons(evidence):
    return "; ".join(evidence["points"][0]["reasons"])


@pytest.mark.parametrize("seed", range(20))
def test_an_honest_run_passes(tmp_path, seed):
    evidence = evidence_of(Run({**DEFAULT, "seed": seed}, tmp_path).make())
    assert evidence["verdict"] == "pass", reasons(evidence)
    assert [each["muons"] > 0 for each in evidence["points"][0]["bins"]] == [True] * 7


@pytest.mark.parametrize("factor", [1.1, 0.9])
def test_a_jacobian_that_is_off_by_ten_per_cent(tmp_path, monkeypatch, factor):
    right = propagation.value_and_jacobian

    def wrong(infer, hits):
        value, jac, finite = right(infer, hits)
        return value, factor * jac, finite

    evidence = sabotaged(tmp_path, monkeypatch, "propagate_uncertainty", propagation, "value_and_jacobian", wrong)
    assert evidence["verdict"] == "fail"
    assert "toy sd / σ" in reasons(evidence)
    assert "pull sd" in reasons(evidence)


def test_the_signed_jacobian_taken_for_sigma(tmp_path, monkeypatch):
    def wrong(infer, hits, covariance):
        value, jac, _ = propagation.value_and_jacobian(infer, hits)
        return Propagated(value, jac @ jac.mT * covariance, jac[:, :, 0] * covariance**0.5)

    evidence = sabotaged(tmp_path, monkeypatch, "propagate_uncertainty", propagation, "propagate", wrong)
    assert evidence["verdict"] == "fail"
    count = evidence["points"][0]["counts"]["sigma_negative"]
    assert 200 < count < 800  # 0.4 % of the hits
    assert f"{count} muons have a negative σ" in reasons(evidence)


@pytest.mark.parametrize("rule", ["infer_theta", "propagate_uncertainty", "run_toys"])
@pytest.mark.parametrize("factor", [1.1, 0.9])
def test_dz_that_is_off_by_ten_per_cent_in_one_rule(tmp_path, monkeypatch, rule, factor):
    wrong = lambda part: partial(infer_theta, dz=factor * part.config["model"]["dz"])  # noqa: E731
    evidence = sabotaged(tmp_path, monkeypatch, rule, steps, "_inference", wrong)
    assert evidence["verdict"] == "fail"


def test_noise_that_is_twice_as_wide_in_the_smearing(tmp_path, monkeypatch):
    right = steps.smear
    wrong = lambda x_true, resolution, noise: right(x_true, resolution / 2, noise)  # noqa: E731
    evidence = sabotaged(tmp_path, monkeypatch, "smear_hits", steps, "smear", wrong)
    assert evidence["verdict"] == "fail"
    assert "pull sd = 2.0" in reasons(evidence) or "pull sd = 1.9" in reasons(evidence)


def test_noise_that_is_twice_as_wide_in_the_toys(tmp_path, monkeypatch):
    right = toys.draw_deviates
    wrong = lambda *arguments: 2 * right(*arguments)  # noqa: E731
    evidence = sabotaged(tmp_path, monkeypatch, "run_toys", toys, "draw_deviates", wrong)
    assert evidence["verdict"] == "fail"
    assert "toy sd / σ = 2.0" in reasons(evidence) or "toy sd / σ = 1.9" in reasons(evidence)


def test_toys_that_share_one_noise_vector(tmp_path, monkeypatch):
    wrong = lambda part, purpose, index: stream(part.settings.seed, purpose, 0)  # noqa: E731
    evidence = sabotaged(tmp_path, monkeypatch, "run_toys", steps, "_stream", wrong)
    assert evidence["verdict"] == "fail"
    assert "do they share noise?" in reasons(evidence)
    assert evidence["points"][0]["domain"]["scatter"] < 0.2


@pytest.mark.parametrize("resolution", [5.0, 20_000.0])
def test_coarse_and_fine_detectors_pass(tmp_path, resolution):
    raw = {**DEFAULT, "detector": {"resolution": resolution}}
    evidence = evidence_of(Run(raw, tmp_path).make())
    assert evidence["verdict"] == "pass", reasons(evidence)


def test_the_evidence_is_as_documented(tmp_path):
    run = Run({**DEFAULT, "scan": {"model.dz": [1.0, 1.5]}, "toys": {"per_muon": 500}}, tmp_path).make()
    evidence = evidence_of(run)
    assert set(evidence) == {"study", "verdict", "config_digest", "content_digest", "points"}
    assert [each["point"] for each in evidence["points"]] == ["model.dz=1", "model.dz=1.5"]
    wanted = {"low", "high", "muons", "share", "ratio", "ratio_se", "verdict", "pull_mean", "pull_sd", "pull_rms"}
    wanted |= {"coverage68", "coverage95", "coverage68_low", "coverage95_high"}
    for each in evidence["points"][0]["bins"]:
        assert wanted <= set(each)
    with open(run.outputs.summary, newline="") as lines:
        rows = list(csv.DictReader(lines))
    assert [row["model.dz"] for row in rows] == ["1", "1.5"]
    assert float(rows[0]["pull_sd"]) == evidence["points"][0]["domain"]["pull_sd"]
    with open(run.outputs.table, newline="") as lines:
        table = list(csv.DictReader(lines))
    assert len(table) == 2 * (7 + 2)
    assert float(table[4]["ratio"]) == evidence["points"][0]["bins"][4]["ratio"]


@pytest.mark.parametrize(
    ("verdict", "strict", "raises"),
    [
        ("pass", False, False),
        ("pass", True, False),
        ("inconclusive", False, False),
        ("inconclusive", True, True),
        ("fail", False, True),
        ("fail", True, True),
    ],
)
def test_check(tmp_path, verdict, strict, raises):
    entry = {"point": "nominal", "observable": "theta", "verdict": verdict, "reasons": ["because"]}
    path = tmp_path / "validation.json"
    write_evidence(path, {"study": "s", "verdict": verdict, "points": [entry]})
    if raises:
        with pytest.raises(PullbackError, match=f"s: verdict {verdict}.*because"):
            check(path, strict)
    else:
        assert f"verdict {verdict}" in check(path, strict)
