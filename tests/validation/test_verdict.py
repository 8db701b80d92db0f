"""The validation must be able to fail: each sabotage is put where a real bug would be."""

import csv
import json

import jsonschema
import pytest
import torch
from running import ENOUGH, Run, slow

from pullback.config.schema import ToySettings, Validation
from pullback.detector import reconstruction, response
from pullback.errors import ANSWERS_FOLLOW, PullbackError
from pullback.statistics.random import random_stream
from pullback.steps import toys as step_toys
from pullback.store.study_file import open_study
from pullback.uncertainty import linear, quoting, toys
from pullback.uncertainty.quoting import Quoted
from pullback.validation.answers import QUESTIONS, Answer, Answers
from pullback.validation.bin_sums import Tally, edges
from pullback.validation.diagnostics import DIAGNOSTICS
from pullback.validation.evidence import SIGMAS, Entry, Evidence, NotJudged
from pullback.validation.judgement import Judge
from pullback.validation.verdict import check

DEFAULT = {"study": "default", **ENOUGH}


def evidence_of(run):
    return Evidence.read(run.outputs.validation)


@pytest.fixture(scope="module")
def honest(tmp_path_factory):
    """The default study as it should be."""
    return Run(DEFAULT, tmp_path_factory.mktemp("honest")).make()


@pytest.fixture
def sabotaged(honest, tmp_path):
    """The evidence of a default study in which one kind of artefact is made with something wrong."""
    return lambda *spoilt: evidence_of(honest.sabotaged(tmp_path, *spoilt))


def reasons(evidence):
    return "; ".join(evidence.points[0].reasons)


@pytest.mark.parametrize("seed", [0, *map(slow, range(1, 20))])
def test_an_honest_run_passes(tmp_path, seed):
    evidence = evidence_of(Run({**DEFAULT, "seed": seed}, tmp_path).make())
    assert evidence.verdict == "pass", reasons(evidence)
    (entry,) = evidence.points
    # The quoted σ in every bin, the fold included; the linear one where it is claimed.
    assert [(each.verdict, each.muons > 0) for each in entry.quoted.bins] == [("pass", True)] * 7
    assert [each.verdict for each in entry.linear.bins] == [NotJudged.OUTSIDE] * 4 + ["pass"] * 3
    assert entry.linear_valid == pytest.approx(0.978, abs=0.003)


@pytest.mark.parametrize("factor", [1.1, 0.9])
def test_a_jacobian_that_is_off_by_ten_per_cent(sabotaged, factor):
    right = linear.value_and_jacobian

    def wrong(infer, hits):
        value, jac, finite = right(infer, hits)
        return value, factor * jac, finite

    evidence = sabotaged("sigma", linear, "value_and_jacobian", wrong)
    # No muon is called linear, so that every quoted σ is right; confidence intervals are not.
    assert evidence.verdict == "fail"
    assert evidence.answers.truth.verdict == "fail"
    assert evidence.points[0].linear_valid == 0


def test_the_signed_jacobian_taken_for_sigma(sabotaged):
    right = quoting.linear_law

    def wrong(infer, hits, sigma_x):
        law = right(infer, hits, sigma_x)
        return law._replace(sigma=law.jacobian[:, :, 0] / 100)

    evidence = sabotaged("sigma", quoting, "linear_law", wrong)
    assert evidence.verdict == "fail"
    count = evidence.points[0].linear.counts.sigma_negative
    assert 200 < count < 800  # 0.4 % of the hits
    assert f"linear σ: {count} muons have a negative σ" in reasons(evidence)


def fold_by_the_linear_law(quoted):
    """The linear σ in place of the standard deviation, wherever the law fails."""
    return quoted._replace(sigma=quoted.sigma_linear)


def wider(interval, factor):
    middle = interval.mean(dim=2, keepdim=True)
    return middle + factor * (interval - middle)


def intervals_too_narrow(quoted):
    """Every interval 5 % too narrow."""
    return quoted._replace(**{each: wider(getattr(quoted, each), 0.95) for each in ("interval68", "interval95")})


def without_what_is_not_linear(quoted):
    """Neither σ nor intervals, where it takes more than the linear law."""
    keep = lambda each: torch.where(quoted.linear_valid[(..., *[None] * (each.ndim - 2))], each, float("nan"))  # noqa: E731
    return quoted._replace(**{name: keep(getattr(quoted, name)) for name in ("sigma", "interval68", "interval95")})


def every_other(quoted):
    return torch.arange(len(quoted.sigma))[:, None] % 2 == 0


@pytest.mark.parametrize(
    ("spoil", "expected"),
    [
        (fold_by_the_linear_law, "quoted σ: toy sd / σ = 0.6"),
        (intervals_too_narrow, "end of the 95 % coverage interval of toys"),
        (lambda q: q._replace(interval68=wider(q.interval68, 0.95)), "end of the 68.27 % coverage interval of toys"),
        (lambda q: q._replace(interval95=wider(q.interval95, 2.0)), "end of the 95 % coverage interval of toys"),
        (lambda q: q._replace(interval95=q.interval95 + 0.2 * q.sigma[:, :, None]), "95 %"),
        (lambda q: q._replace(sigma=1.1 * q.sigma, sigma_linear=1.1 * q.sigma_linear), "quoted σ: toy sd / σ = 0.9"),
        (lambda q: q._replace(sigma=1.1 * q.sigma), "are flagged as linear, but their σ is not the linear one"),
        (without_what_is_not_linear, "have no σ"),
        (
            lambda q: q._replace(sigma=torch.where(q.linear_valid, q.sigma, float("nan"))),  # intervals are there
            "muons that are quoted without a standard deviation have no tails",
        ),
        (lambda q: q._replace(interval68=float("nan") * q.interval68), "have an interval that is not finite"),
        (lambda q: q._replace(interval95=q.interval95 / every_other(q)[:, :, None]), "not finite"),
        (lambda q: q._replace(bias=torch.zeros_like(q.bias)), "bias of toys"),
        (lambda q: q._replace(bias=-q.bias), "bias of toys"),
        (lambda q: q._replace(linear_valid=torch.ones_like(q.linear_valid)), "have toys that contradict"),
        (lambda q: q._replace(linear_valid=~q.linear_valid), "have toys that contradict"),
        (
            lambda q: q._replace(linear_valid=torch.zeros_like(q.linear_valid)),
            "disagree with linear_valid",
        ),
        (lambda q: Quoted(*(each if each is q.value else each.flip(0) for each in q)), "toy sd / σ"),  # rows reversed
    ],
)
def test_what_is_quoted_is_wrong(sabotaged, spoil, expected):
    right = quoting.quote
    wrong = lambda *arguments, **options: spoil(right(*arguments, **options))  # noqa: E731
    evidence = sabotaged("sigma", quoting, "quote", wrong)
    (entry,) = evidence.points
    assert (entry.verdict, entry.quoted.verdict) == ("fail", "fail")
    assert expected in reasons(evidence)


@pytest.mark.parametrize(
    ("noise", "fails", "passes"),
    [
        # Right width, wrong shape: seen by the ends of intervals and by success, and by no width.
        ("strip", {"closure_quoted", "ends68", "ends95", "coverage68", "coverage95"}, {"closure_linear", "pull_sd"}),
        ("tails", {"closure_linear", "closure_quoted", "pull_sd", "ends68", "ends95", "coverage95"}, {"pull_mean"}),
        ("clipped", {"closure_linear", "closure_quoted", "pull_sd", "ends95", "coverage95"}, {"pull_mean"}),
    ],
)
def test_which_diagnostic_catches_which_noise(tmp_path, noise, fails, passes):
    evidence = evidence_of(Run({**DEFAULT, **ENOUGH, "detector": {"noise": noise}}, tmp_path).make())
    (entry,) = evidence.points
    said = {name: each.verdict for name, each in entry.diagnostics.items()}
    assert set(said) == set(DIAGNOSTICS)
    assert {name for name, verdict in said.items() if verdict == "fail"} >= fails
    assert {name for name, verdict in said.items() if verdict == "pass"} >= passes | {"scatter"}
    assert evidence.verdict == "fail"


def test_strips_as_fine_as_the_stated_resolution_hide_from_widths(tmp_path):
    evidence = evidence_of(Run({**DEFAULT, "detector": {"noise": "strip"}}, tmp_path).make())
    (entry,) = evidence.points
    assert entry.linear.verdict == "pass"
    assert entry.linear.domain.pulls.sd.value == pytest.approx(1, abs=0.01)
    assert entry.linear.domain.pulls.coverage68.value == pytest.approx(0.577, abs=0.01)


def test_clean_noise_of_another_name_passes(tmp_path):
    """Tails of no hits, and a clip that is never reached, are Gaussian."""
    for index, noise in enumerate(({"kind": "tails", "fraction": 0.0}, {"kind": "clipped", "clip": 8.0})):
        evidence = evidence_of(Run({**DEFAULT, "detector": {"noise": noise}}, tmp_path / str(index)).make())
        assert evidence.verdict == "pass", reasons(evidence)


def test_smearing_that_is_shifted(sabotaged):
    """A shift that all muons share is none of the σ, and still hides the truth."""
    right = response.smear
    wrong = lambda x_true, resolution, noise: right(x_true, resolution, noise + 0.5)  # noqa: E731
    evidence = sabotaged("reco", response, "smear", wrong)
    assert (evidence.answers.propagation.verdict, evidence.answers.truth.verdict) == ("pass", "fail")
    assert evidence.answers.truth.sentence.startswith("The truth is not covered: mean pull of slope over all muons is")
    found = evidence.points[0].diagnostics["pull_mean"]
    assert (found.value > 0.45, found.verdict) == (True, "fail")
    assert DIAGNOSTICS["pull_mean"].decides
    assert DIAGNOSTICS["pull_mean"].question == "truth"


def test_linear_valid_is_held_against_toys_in_its_own_digits(tmp_path):
    raw = {
        **DEFAULT,
        "uncertainty": {"n_dig": 2},
        "source": {"muons": 5000},
        "toys": {"muons": 60, "per_muon": 1_000_000},
    }
    for seed in (1, 2):
        (entry,) = evidence_of(Run({**raw, "seed": seed}, tmp_path / str(seed)).make()).points
        counts = entry.quoted.counts
        assert entry.linear_valid == pytest.approx(0.548, abs=0.02)
        assert counts.toys_can_tell >= 20
        assert counts.toys_contradict == 0
        assert counts.toys_disagree < 0.3 * counts.toys_can_tell


def test_adaptive_toys_pass_too(tmp_path):
    raw = {**DEFAULT, "toys": {"mode": "adaptive", "muons": 500}}
    run = Run(raw, tmp_path).make()
    evidence = evidence_of(run)
    assert evidence.verdict == "pass", reasons(evidence)
    with open_study(run.outputs.study) as reader:
        count, settled = (reader.rows(f"nominal/toys/{name}") for name in ("toy_count", "toy_settled"))
    assert set(count) >= {20_000, 30_000}
    assert settled.all()
    assert evidence.points[0].quoted.overall.toys == count.sum()


@pytest.mark.parametrize("kind", ["theta", "sigma", "toys"])
@pytest.mark.parametrize("factor", [1.1, 0.9])
def test_dz_that_is_off_by_ten_per_cent_in_one_rule(sabotaged, kind, factor):
    right = reconstruction.parameters_of

    def wrong(*arguments):
        parameters = right(*arguments)
        return {**parameters, "dz": factor * parameters["dz"]}

    evidence = sabotaged(kind, reconstruction, "parameters_of", wrong)
    assert evidence.verdict == "fail"


def test_noise_that_is_twice_as_wide_in_the_smearing(sabotaged):
    right = response.smear
    wrong = lambda x_true, resolution, noise: right(x_true, resolution / 2, noise)  # noqa: E731
    evidence = sabotaged("reco", response, "smear", wrong)
    assert evidence.verdict == "fail"
    assert "truth: width of the pulls of all muons in the linear domain is 1.9" in reasons(evidence)
    assert [str(each.verdict) for each in evidence.answers.each.values()][:2] == ["pass", "fail"]


def test_noise_that_is_twice_as_wide_in_the_toys(sabotaged):
    right = toys.draw_deviates
    wrong = lambda *arguments: 2 * right(*arguments)  # noqa: E731
    evidence = sabotaged("toys", toys, "draw_deviates", wrong)
    assert evidence.verdict == "fail"
    assert "linear σ: toy sd / σ = 2.0" in reasons(evidence) or "linear σ: toy sd / σ = 1.9" in reasons(evidence)


def test_toys_that_share_one_noise_vector(sabotaged):
    wrong = lambda part, purpose, index: random_stream(part.config.seed, purpose, 0)  # noqa: E731
    evidence = sabotaged("toys", step_toys, "stream_of", wrong)
    assert evidence.verdict == "fail"
    assert "do they share noise?" in reasons(evidence)
    assert evidence.points[0].linear.domain.scatter.all.value < 0.2


@pytest.mark.parametrize("resolution", [slow(5.0), 20_000.0])
def test_coarse_and_fine_detectors_pass(tmp_path, resolution):
    # Of a fine detector, one or two muons are at the fold, and must have enough toys by themselves.
    raw = {**DEFAULT, "detector": {"resolution": resolution}, "toys": {"per_muon": 40_000}}
    evidence = evidence_of(Run(raw, tmp_path).make())
    assert evidence.verdict == "pass", reasons(evidence)


def test_the_evidence_is_as_documented(tmp_path):
    run = Run({**DEFAULT, "scan": {"model.dz": [1.0, 1.5]}, "toys": {"per_muon": 500}}, tmp_path).make()
    evidence = evidence_of(run)
    assert set(Evidence.model_fields) == {
        "digest",
        "study",
        "verdict",
        "config_digest",
        "content_digest",
        "imported",
        "separating",
        "answers",
        "points",
        "smeared",
        "fits",
    }
    content = json.loads(run.outputs.validation.read_text())
    jsonschema.validate(content, json.loads(run.outputs.schema.read_text()))
    content["points"][0]["linear"]["bins"][0]["muons"] = "many"
    with pytest.raises(jsonschema.ValidationError, match="'many' is not of type 'integer'"):
        jsonschema.validate(content, json.loads(run.outputs.schema.read_text()))
    assert [each.point for each in evidence.points] == ["model.dz=1", "model.dz=1.5"]
    first = evidence.points[0]
    for sigma in ("linear", "quoted"):
        assert first.of(sigma).sigma == sigma
        for each in first.of(sigma).bins:
            assert None not in (each.share, each.linear_valid, each.ratio.se, each.ratio.verdict)
            assert None not in (each.pulls.mean.se, each.pulls.sd.se, each.pulls.coverage68.low)
            assert all(deviation.mean.se > 0 for deviation in each.offsets.ends)
            assert all((deviation.rms is None) == (sigma == "linear") for deviation in each.offsets.ends)
    with open(run.outputs.summary, newline="") as lines:
        rows = list(csv.DictReader(lines))
    assert [row["model.dz"] for row in rows] == ["1", "1.5"]
    assert float(rows[0]["pull_sd"]) == first.linear.domain.pulls.sd.value
    assert float(rows[0]["quoted_ratio"]) == first.quoted.overall.ratio.value
    assert float(rows[0]["linear_valid"]) == first.linear_valid
    shares = [float(value) for name, value in rows[0].items() if name.startswith("linear_valid_")]
    assert shares == [each.linear_valid for each in first.quoted.bins]
    assert [rows[0][f"{name}_verdict"] for name in ("propagation", "truth", "data")] == [
        str(first.propagation),
        str(first.truth.verdict),
        "can't be tested",
    ]
    deciding = [each for each in first.truth.bins if each.decides]
    worst = max(deciding, key=lambda each: abs(each.coverage.confidence68.value - 0.6827))
    assert float(rows[0]["coverage_confidence68"]) == worst.coverage.confidence68.value
    assert rows[0]["coverage_confidence68_bin"] == f"{worst.low:g} to {worst.high:g}"
    assert float(rows[0]["truth_bias"]) == max((each.bias.value for each in deciding), key=abs)
    with open(run.outputs.table, newline="") as lines:
        table = list(csv.DictReader(lines))
    truth = [row for row in table if row["question"] == "truth"]
    assert [float(row["coverage_interval95"]) for row in truth[:7]] == [
        each.coverage.interval95.value for each in first.truth.bins
    ]
    table = [row for row in table if row["question"] == "propagation"]
    assert (len(table), len(truth)) == (2 * 2 * (7 + 2), 2 * 7)
    wanted = {"sigma", "low", "high", "muons", "share", "linear_valid", "ratio", "ratio_se", "verdict", "pull_mean"}
    wanted |= {"pull_sd", "pull_rms", "coverage68", "coverage95", "coverage68_low", "coverage95_high"}
    wanted |= {f"{end}{level}_off{which}" for end in ("low", "high") for level in ("68", "95") for which in ("", "_se")}
    assert wanted <= set(table[0])
    assert [row["sigma"] for row in table[:18]] == ["linear"] * 9 + ["quoted"] * 9
    assert float(table[4]["ratio"]) == first.linear.bins[4].ratio.value


@pytest.mark.parametrize(
    ("changes", "outside"),
    [
        ({}, 4),  # all bins below 3 σ
        ({"validation": {"domain": 1.0}}, 2),
        ({"validation": {"domain": 0.0}}, 0),
        ({"source": {"muons": 300, "x_min": 0.012, "x_max": 0.018}}, 1),  # θ/σ from 1.2 to 1.8: one bin has muons
        ({"source": {"muons": 300, "x_min": 0.5, "x_max": 1.0}}, 0),
    ],
)
def test_the_summary_counts_the_bins_with_muons_outside_the_linear_domain(tmp_path, changes, outside):
    raw = {**DEFAULT, "source": {"muons": 3000}, "toys": {"muons": 10, "per_muon": 10}, **changes}
    with open(Run(raw, tmp_path).make().outputs.summary, newline="") as lines:
        (row,) = csv.DictReader(lines)
    assert row["bins_outside"] == str(outside)


def evidence_with(verdict, deciding):
    """The evidence on a study of no muons, where one question has this verdict and the others pass."""
    empty = [Judge(Tally(sigma, edges(3.0), 1), Validation(), ToySettings(), 1).result() for sigma in SIGMAS]
    about = {"point": "nominal", "observable": "theta", "values": {}, "verdict": verdict, "reasons": []}
    found = {"remedies": [], "diagnostics": {}, "budget": {}, "design": {}}
    entry = Entry(**about, **found, propagation=verdict, linear=empty[0], quoted=empty[1])
    answers = {name: Answer(verdict="pass", sentence=f"All of {name} is well.") for name in QUESTIONS}
    answers[deciding] = Answer(verdict=verdict, sentence=f"What was found of {deciding}.")
    about = {"study": "s", "verdict": verdict, "config_digest": "", "content_digest": ""}
    return Evidence(**about, answers=Answers(**answers), points=[entry], smeared=[], fits=[])


@pytest.mark.parametrize("deciding", QUESTIONS)
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
def test_check_names_the_question_that_decided(tmp_path, verdict, strict, raises, deciding, monkeypatch):
    monkeypatch.delenv(ANSWERS_FOLLOW, raising=False)
    path = tmp_path / "validation.json"
    evidence_with(verdict, deciding).write(path)
    of = {name: verdict if name == deciding else "pass" for name in QUESTIONS}
    says = {name: f" What was found of {name}." if name == deciding else "" for name in QUESTIONS}
    if verdict == "pass":  # all questions decide
        says |= {name: f" All of {name} is well." for name in QUESTIONS if name != deciding}
    answers = [f"  {question} {of[name]}.{says[name]}" for name, question in QUESTIONS.items()]
    judged = f"s: verdict {verdict}. See {tmp_path / 'report.html'}"
    if raises:
        with pytest.raises(PullbackError) as raised:
            check(path, strict)
        assert str(raised.value).splitlines() == [judged, *answers]
        monkeypatch.setenv(ANSWERS_FOLLOW, "1")
        with pytest.raises(PullbackError) as raised:
            check(path, strict)
        assert str(raised.value) == judged
    else:
        assert check(path, strict).splitlines() == [*answers, judged]
