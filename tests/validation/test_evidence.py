from running import PROJECT

from pullback.validation.evidence import schema


def test_the_schema_is_current():
    assert (PROJECT / "docs" / "validation.schema.json").read_text() == schema(), "run: make docs"
