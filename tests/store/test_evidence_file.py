import json
import math

import pytest

from pullback.errors import PullbackError
from pullback.store.evidence_file import EvidenceFile, Number, Unbounded


class Numbers(EvidenceFile):
    verdict: str
    a: Number = 0.0
    b: tuple[Number, ...] = ()
    c: Number | None = None
    d: Unbounded = 0.0
    e: Unbounded | None = None
    f: tuple[dict[str, Number], ...] = ()


def test_what_is_written_is_read_and_has_no_nan(tmp_path):
    path = tmp_path / "validation.json"
    Numbers(verdict="pass", a=math.nan, b=(math.nan, 1.5, 0.1 + 0.2)).write(path)
    found = Numbers.read(path)
    assert math.isnan(found.a)
    assert (found.verdict, str(found.b), found.c) == ("pass", "(nan, 1.5, 0.30000000000000004)", None)
    content = json.loads(path.read_text(), parse_constant=pytest.fail)
    assert (content["a"], content["b"][0], "c" in content) == (None, None, False)


@pytest.mark.parametrize("number", [None, math.nan, 0.0, -0.0, 0.1 + 0.2, 5e-324, -1e308])
@pytest.mark.parametrize("limit", [None, math.inf, 1 / 3])
def test_numbers_of_all_kinds_are_read_as_they_were_written(tmp_path, number, limit):
    path, known = tmp_path / "validation.json", -9.0 if number is None else number
    written = Numbers(verdict="pass", a=known, b=(known, 2.0), c=number, d=limit or 1.0, e=limit, f=({"x": known},))
    written.write(path)
    read = Numbers.read(path)
    assert repr(read.model_copy(update={"digest": ""})) == repr(written)


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
    Numbers(verdict="fail").write(path)
    path.write_text(spoil(path.read_text()))
    with pytest.raises(PullbackError, match=r"validation\.json: (is|has been).*run again"):
        Numbers.read(path)


def test_evidence_of_another_form_is_refused(tmp_path):
    class Older(EvidenceFile):
        verdicts: list[str]

    Older(verdicts=["pass"]).write(tmp_path / "validation.json")
    with pytest.raises(PullbackError, match=r"validation\.json: is of another version"):
        Numbers.read(tmp_path / "validation.json")


def test_missing_evidence_is_named(tmp_path):
    with pytest.raises(PullbackError, match=r"nothing\.json: can't be read"):
        Numbers.read(tmp_path / "nothing.json")
