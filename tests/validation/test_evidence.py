from running import PROJECT

from pullback.validation.evidence import evidence_schema


def test_the_schema_is_current():
    assert (PROJECT / "docs" / "validation.schema.json").read_text() == evidence_schema(), "run: make docs"
