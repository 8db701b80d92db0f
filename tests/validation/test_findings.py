"""What is found wrong is in order, and in words that name the worst."""

import pytest
from running import Run

from pullback.statistics.intervals import Verdict
from pullback.validation.evidence import Evidence
from pullback.validation.findings import badness, findings
from pullback.validation.sentences import answers_of

RAW = {
    "study": "s",
    "source": {"muons": 2000},
    "toys": {"muons": 60, "per_muon": 400},
    "scan": {"model.dz": [1.0, 1.5]},
    "coverage": {"toys_per_bin": 3200},
}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    run = Run(RAW, tmp_path_factory.mktemp("findings")).make()
    return run.study, Evidence.read(run.outputs.validation)


def with_coverage(entry, *values):
    """An entry whose last bins have a coverage that fails, and others that pass."""
    bins = [each.model_copy(update={"decides": False}) for each in entry.truth.bins]
    for index, value in enumerate(values):
        right = bins[index].coverage.confidence68
        number = right.model_copy(update={"value": value, "verdict": Verdict.FAIL})
        coverage = bins[index].coverage.model_copy(update={"confidence68": number})
        bins[index] = bins[index].model_copy(update={"coverage": coverage, "verdict": Verdict.FAIL, "decides": True})
    reasons = [f"coverage is {value}" for value in values]
    truth = entry.truth.model_copy(update={"bins": bins, "verdict": Verdict.FAIL, "reasons": reasons})
    return entry.model_copy(update={"truth": truth, "verdict": Verdict.FAIL})


def test_the_worst_point_is_first_and_named(made):
    study, evidence = made
    mild, bad = (with_coverage(entry, value) for entry, value in zip(evidence.points, (0.66, 0.4), strict=True))
    found = [each for each in findings(study, [mild, bad], [], evidence.fits) if each.question == "truth"]
    assert [each.point for each in found] == ["model.dz=1.5", "model.dz=1"]
    assert [each.off for each in found] == pytest.approx([28.27, 2.27])
    sentence = answers_of(study, [mild, bad], evidence.fits, found).truth.sentence
    begin = "The truth is not covered at all 2 points; worst at model.dz = 1.5 m: coverage is 0.4"
    assert sentence == f"{begin} (and 1 more reason)."


@pytest.mark.parametrize("value", [0.4, 0.9])
def test_the_worst_entry_is_the_one_whose_deciding_numbers_of_any_question_are_worst(made, value):
    study, evidence = made
    settings = study.config.validation
    honest = evidence.points[0]
    wrong = with_coverage(honest, value)
    assert badness(wrong, [], [], settings) > badness(honest, [], [], settings)
    assert badness(wrong, [], [], settings)[0][1] == pytest.approx(abs(value - 0.6827) / 0.01, abs=0.01)
    # Where no exact interval is claimed, a coverage above nominal is right.
    above = wrong.model_copy(update={"truth": wrong.truth.model_copy(update={"at_least": True})})
    assert (badness(above, [], [], settings)[0][1] < 5) == (value > 0.6827)
    # The muons of the point count for all of its observables, and those of other points do not.
    smeared = evidence.smeared[0].model_copy(update={"verdict": Verdict.FAIL})
    assert badness(honest, [smeared], [], settings)[0] > badness(honest, [], [], settings)[0]
    # Of two observables of the same point the one that is worse itself.
    assert badness(wrong, [smeared], [], settings) > badness(honest, [smeared], [], settings)
    elsewhere = smeared.model_copy(update={"point": "model.dz=1.5"})
    assert badness(honest, [elsewhere], [], settings) == badness(honest, [], [], settings)


def test_what_concerns_all_observables_comes_before_its_effect_on_one(made):
    study, evidence = made
    bad = with_coverage(evidence.points[0], 0.1)
    smeared = evidence.smeared[0].model_copy(update={"verdict": Verdict.FAIL, "reasons": ["mean pull of slope is 1"]})
    found = findings(study, [bad], [smeared], evidence.fits)
    assert [(each.question, each.observable) for each in found[:2]] == [("truth", ""), ("truth", "theta")]
    assert "mean pull of slope is 1" in answers_of(study, [bad], evidence.fits, found).truth.sentence
