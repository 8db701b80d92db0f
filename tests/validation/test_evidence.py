import pytest
from running import PROJECT

from pullback.statistics.intervals import Verdict
from pullback.validation.coverage_evidence import SmearedEntry
from pullback.validation.evidence import Entry, Evidence, evidence_schema
from pullback.validation.fit_evidence import FitEntry


def test_the_schema_is_current():
    assert (PROJECT / "docs" / "validation.schema.json").read_text() == evidence_schema(), "run: make docs"


@pytest.mark.parametrize(
    ("entry", "fit", "pulls", "expected"),
    [("pass", "fail", "pass", "fail"), ("pass", "can't be tested", "pass", "pass"), ("pass", "pass", "fail", "fail")],
)
def test_the_verdict_on_an_observable_counts_the_data_and_all_muons_of_its_point(entry, fit, pulls, expected):
    def found(kind, point, verdict):
        return kind.model_construct(point=point, verdict=Verdict(verdict) if verdict in [*Verdict] else verdict)

    fits = [found(FitEntry, "a", fit), found(FitEntry, "b", "fail")]
    evidence = Evidence.model_construct(fits=fits, smeared=[found(SmearedEntry, "a", pulls)])
    assert evidence.verdict_on(found(Entry, "a", entry)) == expected
    assert evidence.verdict_on(found(Entry, "b", entry)) == "fail"
