import json

import pytest

from pullback.errors import PullbackError
from pullback.store.evidence_file import read_evidence, write_evidence


def test_what_is_written_is_read_and_has_no_nan(tmp_path):
    path = tmp_path / "validation.json"
    write_evidence(path, {"verdict": "pass", "a": float("nan"), "b": [float("inf"), 1.5]})
    assert read_evidence(path) == {"verdict": "pass", "a": None, "b": [None, 1.5]}
    json.loads(path.read_text(), parse_constant=pytest.fail)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda text: text.replace("fail", "pass"),
        lambda text: text[: len(text) // 2],
        lambda text: "",
        lambda text: "[]",
        lambda text: '{"verdict": "pass"}',
    ],
)
def test_changed_or_cut_evidence_is_refused_by_name(tmp_path, spoil):
    path = tmp_path / "validation.json"
    write_evidence(path, {"verdict": "fail"})
    path.write_text(spoil(path.read_text()))
    with pytest.raises(PullbackError, match=r"validation\.json: (is|has been).*run again"):
        read_evidence(path)


def test_missing_evidence_is_named(tmp_path):
    with pytest.raises(PullbackError, match=r"nothing\.json: can't be read"):
        read_evidence(tmp_path / "nothing.json")
