"""Conditions on columns, against numpy and plain Python; and the rows that they select."""

import json
import math
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
from hit_files import write, write_root
from hypothesis import given, settings
from hypothesis import strategies as st

from pullback.config.selection_text import written_condition
from pullback.config.source_schema import Recorded
from pullback.errors import PullbackError
from pullback.hits import reading
from pullback.hits.hits_file import source_of
from pullback.hits.layouts import recorded_file
from pullback.hits.selection import condition_of
from pullback.steps.importing import import_hits
from pullback.store import artefact
from pullback.study.batches import Batch
from pullback.study.blocks import BLOCK
from pullback.study.plan import Study

KINDS = ["csv", "parquet", "h5", "root"]
LENGTHS = ("x0", "x1", "col 0")
NAN = math.nan
VALUES = {
    "x0": np.array([0.01, NAN, 0.06, -0.02, 0.0]),
    "x1": np.array([0.0, 0.0, 0.03, 0.04, NAN]),
    "n": np.array([1.0, 1, 2, 3, NAN]),
    "run": np.array(["a", "b", "a", "", "c d"], dtype=object),
    "hit[0]": np.array([1.0, 2, 3, 4, 5]),
    "col 0": np.array([1.0, 2, 3, 4, 5]) / 1000,
}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("n == 1 and abs(x0) < 49.9 mm", [1, 0, 0, 0, 0]),
        ("n == 1\n  or x0 > 5cm", [1, 1, 1, 0, 0]),
        ("x0 != 10 mm", [0, 0, 1, 1, 1]),
        ("n != 1", [0, 0, 1, 1, 0]),
        ("not n != 1", [1, 1, 0, 0, 1]),
        ("not x0 < 1 m", [0, 1, 0, 0, 0]),
        ("-20 mm <= x0 < 1e4 um", [0, 0, 0, 1, 1]),
        ("0 < x0", [1, 0, 1, 0, 0]),
        ("isfinite(x0) and isfinite(x1)", [1, 0, 1, 1, 0]),
        ("not isfinite(n)", [0, 0, 0, 0, 1]),
        ("sqrt(x0**2 + x1**2) < 5 cm", [1, 0, 0, 1, 0]),
        ("x0*x0 + x1*x1 < 5 cm * 5 cm", [1, 0, 0, 1, 0]),
        ("x0 / 1 mm + n == 11", [1, 0, 0, 0, 0]),
        ("max(x0, x1) == 40 mm", [0, 0, 0, 1, 0]),
        ("min(n, 2, `hit[0]`) == 2", [0, 0, 1, 1, 0]),
        ("n % 2 == 0", [0, 0, 1, 0, 0]),
        ("n // 2 == 1", [0, 0, 1, 1, 0]),
        ("hit[0] >= 4", [0, 0, 0, 1, 1]),
        ("`col 0` > 2.5 mm", [0, 0, 1, 1, 1]),
        ("run == 'a'", [1, 0, 1, 0, 0]),
        ('"c d" != run and n > 0', [1, 1, 1, 1, 0]),
        ("run == ''", [0, 0, 0, 1, 0]),
        ("n == 1 or n == 2 and x0 < 0", [1, 1, 0, 0, 0]),
        ("(n == 1 or n == 2) and x0 > 0", [1, 0, 1, 0, 0]),
        ("n == n == 1", [1, 1, 0, 0, 0]),
        ("+n > -1.5e0", [1, 1, 1, 1, 0]),
        ("x0 < 14.4 µm", [0, 0, 0, 1, 1]),
        ("x0**0.5 < 1 m**0.5", [1, 0, 1, 0, 1]),
    ],
)
def test_conditions(text, expected):
    found = condition_of(written_condition(text), LENGTHS).holds(VALUES, 5)
    assert found.astype(int).tolist() == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("x0 < 5", "x0 < 5: x0 is a length and 5 is a pure number; write 5 with a unit, such as mm"),
        ("-5 > x0", "-5 > x0: -5 is a pure number and x0 is a length; write -5 with a unit, such as mm"),
        (
            "n < 5 mm",
            "n < 5 mm: n is a pure number and 5 mm is a length; only columns of source.columns, sigma and z are",
        ),
        ("x0 < n", "x0 < n: x0 is a length and n is a pure number; only columns"),
        ("x0 * x1 < 1 mm", "x0 * x1 < 1 mm: x0 * x1 is a squared length and 1 mm is a length"),
        ("x0 + n > 0", "x0 + n: x0 is a length and n is a pure number"),
        ("max(x0, n) > 0", "max(x0, n): x0 is a length and n is a pure number"),
        ("x0", "is a length, not a condition; compare it, as in x0 > 0"),
        ("n and x0 > 0", "n: is a pure number, not a condition; compare it, as in n > 0"),
        ("not n", "n: is a pure number, not a condition"),
        ("(n > 1) + 1 > 0", "n > 1: is a condition, not a number"),
        ("n < 3 kg", "is '3 kg', and kg is no unit that is known here; it must be a length, in m, km, cm"),
        ("n < 3 GeV", "is '3 GeV', a momentum; it must be a length"),
        ("n == 1 AND x0 > 0", "has AND; write and"),
        ("n == 1 & x0 > 0", "1 & x0: is not allowed; write and"),
        ("n <", "can't be read: invalid syntax; write it as"),
        ("n = 1", "has =; write n == 1"),
        ("n = 1 and run == '=' and x0 > 2 mm", "has =; write n == 1 and run == '=' and (x0 > 2 mm)"),
        (
            "n => 1 && `col 0` <> 0 || n =< 3",
            "has => and && and <> and || and =<; write n >= 1 and `col 0` != 0 or n <= 3",
        ),
        ("n = = 1", "can't be read: invalid syntax; write it as"),
        ("X0 < 5 mm", "X0 < 5 mm: X0 is a pure number and 5 mm is a length; did you mean x0?"),
        ("1 < 2", "names no column"),
        ("True", "True: is no number"),
        ("run < 'a'", "run < 'a': a text is compared with a column, by == or !="),
        ("run == 'a' and run > 1", "compares run with text and with a number"),
        ("'a' == 'a'", "'a' == 'a': a text is compared with a column"),
        ("n in (1, 2)", "n in (1, 2): is not allowed; compare by =="),
        ("n ** x0 > 1", "n ** x0: the exponent must be a number up to 9"),
        ("n ** 1000 > 1", "n ** 1000: the exponent must be a number up to 9"),
        ("n == 9007199254740993", "9007199254740993: is beyond 2⁵³, where not all whole numbers are told apart"),
        ("min(n) > 0", "min(n): min takes 2 arguments or more"),
        ("abs(n, n) > 0", "abs(n, n): abs takes 1 argument"),
        ("cos(n) > 0", "cos(n): the functions are abs, sqrt, isfinite, min, max"),
        ("abs(x=n) > 0", "abs(x=n): abs takes 1 argument"),
        ("n > 1 if n else n > 2", "n > 1 if n else n > 2: is not allowed; compare columns"),
        (" not" * 60 + " n > 1", "is nested more than 50 times"),
        ("n > 0" + " and n > 0" * 500, "has 5005 characters; at most 2000 are read"),
        ("n == 1j", "is '1 j', and j is no unit that is known here"),
    ],
)
def test_what_is_no_condition_is_refused_with_advice(text, expected):
    with pytest.raises(ValueError, match=r"^.") as caught:
        condition_of(written_condition(text), LENGTHS)
    assert str(caught.value).startswith(expected)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    "text",
    [
        "__import__('os').system('touch sprung') == 0",
        "().__class__.__bases__[0].__subclasses__() == n",
        "(lambda: n)() > 0",
        "[n for n in n] == 1",
        "n.dtype == 1",
        "f'{n}' == 'a'",
        "open('sprung', 'w') == n",
        "abs.__globals__ == n",
        "(n := 3) > 1",
        "n[n] > 1",
        "*n, == 1",
        "`n`.tofile('sprung') == 1",
    ],
)
def test_what_could_do_harm_is_refused_before_it_is_evaluated(text):
    with pytest.raises(ValueError, match=r"not allowed|functions are|can't be read|exponent|text is compared"):
        condition_of(written_condition(text), LENGTHS)
    assert not Path("sprung").exists()


NUMBERS = st.sampled_from(["n", "m", "1", "2.5", "0", "(-3)"])
TERMS = st.recursive(
    NUMBERS,
    lambda inner: st.builds("({} {} {})".format, inner, st.sampled_from("+-*"), inner) | inner.map("abs({})".format),
    max_leaves=4,
)
COMPARED = st.builds("{} {} {}".format, TERMS, st.sampled_from(["<", "<=", ">", ">=", "=="]), TERMS)
CONDITIONS = st.recursive(
    COMPARED,
    lambda inner: (
        st.builds("({} {} {})".format, inner, st.sampled_from(["and", "or"]), inner) | inner.map("(not {})".format)
    ),
    max_leaves=5,
)


@settings(max_examples=150, deadline=None)
@given(CONDITIONS)
def test_any_condition_holds_where_python_says_so(text):
    if "n" not in text.replace("and", "").replace("not", "") and "m" not in text:
        return
    n, m = np.array([0.0, 1, -2, NAN, math.inf]), np.array([1.0, 1, 3, 2, NAN])
    found = condition_of(written_condition(text), ()).holds({"n": n, "m": m}, 5)
    assert found.tolist() == [
        eval(text, {"n": a, "m": b, "abs": abs}) for a, b in zip(n.tolist(), m.tolist(), strict=True)
    ]


def source(path, names=("x",), **section):
    return source_of(Recorded(file=path, **section), names)


def table(rows, seed=1):
    rng = np.random.default_rng(seed)
    return {"n": rng.integers(0, 4, rows), "x": rng.normal(size=rows), "event": np.arange(rows) * 7}


def planned(path, model=None, **section):
    """A file as a job reads it after planning."""
    first = source(path, **section)
    plan = first.plan()
    return plan, source_of(Recorded(file=path, **section), ["x"], plan.sha256, plan.reading)


@pytest.mark.parametrize("kind", KINDS)
def test_the_selected_rows_are_the_muons(kind):
    columns = table(3 * BLOCK)
    plan, file = planned(write(kind, columns), select="n == 2 and x > -1 m", keep=["event", "n"])
    chosen = (columns["n"] == 2) & (columns["x"] > -1)
    assert plan.counts.plain() == {
        "rows": 3 * BLOCK,
        "unselected": 3 * BLOCK - chosen.sum(),
        "muons": chosen.sum(),
    }
    muons = int(chosen.sum())
    for start, stop in ((0, muons), (1000, 1500), (muons - 1, muons)):
        blocks = list(file.blocks(start, stop, 5000))
        np.testing.assert_array_equal(
            np.concatenate([block.hits[:, 0] for block in blocks]), columns["x"][chosen][start:stop]
        )
        kept = np.concatenate([block.kept["event"] for block in blocks])
        np.testing.assert_array_equal(kept, columns["event"][chosen][start:stop])
        assert kept.dtype == np.int64


@pytest.mark.parametrize("kind", ["parquet", "h5", "root"])
def test_a_job_begins_to_read_near_its_first_muon(kind, monkeypatch):
    monkeypatch.setattr(reading, "STRIDE", 1000)
    columns = table(20_000)
    path = write(kind, columns, **({"row_group_size": 1000} if kind == "parquet" else {}))
    plan, file = planned(path, select="n > 0")
    at = np.flatnonzero(columns["n"] > 0)
    assert list(plan.reading.starts) == at[::1000].tolist()
    part = plan.reading.of_blocks(3, 5)
    assert (list(part.starts), part.first) == (at[[3000, 4000]].tolist(), 3)
    assert [part.before(muon) for muon in (0, 2999, 3000, 3999, 4000, 9000)] == [
        (0, 0),
        (0, 0),
        (at[3000], 3000),
        (at[3000], 3000),
        (at[4000], 4000),
        (at[4000], 4000),
    ]
    starts, reader = [], file._reader
    read = reader.read
    monkeypatch.setattr(reader, "read", lambda *given: starts.append(given[2]) or read(*given))
    (block,) = file.blocks(4321, 4400)
    np.testing.assert_array_equal(block.hits[:, 0], columns["x"][at[4321:4400]])
    assert starts == [at[4000]]


def test_rows_of_errors_are_those_of_the_file():
    Path("hits.csv").write_text("n,x,s\n0,oops,1\n1,1,1\n0,2,1\n1,3,0\n")
    for select, expected in (
        ("n == 1", "row 4, column 's': is not a standard uncertainty: 0"),
        ("n < 2", "row 1, col"),
    ):
        plan, file = planned("hits.csv", select=select, sigma={"x": "s"})
        with pytest.raises(PullbackError, match=expected):
            list(file.blocks(0, plan.counts.muons))


@pytest.mark.parametrize("kind", KINDS)
def test_no_row_is_left(kind):
    with pytest.raises(PullbackError) as caught:
        source(write(kind, table(50)), select="n ==\n  17").plan()
    assert str(caught.value) == (rf"hits.{kind}: none of its 50 rows is selected by source.select: n ==\n  17")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("select", "expected"),
    [
        ("n_trakcs == 1", "no column 'n_trakcs'; the columns are: {}, in source.select; did you mean n_tracks?"),
        ("N_Tracks == 1", "no column 'N_Tracks'; the columns are: {}, in source.select; did you mean n_tracks?"),
        ("y0 > 1", "no column 'y0'; the columns are: {}, in source.select"),
        ("note > 1", None),
        ("x == 'a'", None),
    ],
)
def test_wrong_names_and_kinds_are_told_with_the_nearest(kind, select, expected):
    numbers = {"n_tracks": np.arange(3), "x": np.ones(3)}
    if kind == "root":
        write_root("hits.root", {}, {"hits": {**numbers, "note": ["a", "b", "c"]}})
    else:
        write(kind, {**numbers, "note": ["a", "b", "c"]})
    with pytest.raises(PullbackError) as caught:
        source(f"hits.{kind}", select=select).plan()
    if expected:
        listed = "n_tracks, note, x" if kind in ("h5", "root") else "n_tracks, x, note"
        assert str(caught.value) == f"hits.{kind}: {expected.format(listed)}"
    elif kind == "csv":
        assert "is not a number" in str(caught.value) or "none of its 3 rows is selected" in str(caught.value)
    else:
        assert "not numbers" in str(caught.value) or "not text" in str(caught.value) or "must be" in str(caught.value)


@pytest.mark.parametrize("kind", KINDS)
def test_text_is_compared(kind):
    x, run = np.arange(5.0), ["a", "µ", "a", "b", ""]
    if kind == "root":
        write_root("hits.root", {}, {"hits": {"x": x, "run": run}})
    else:
        write(kind, {"x": x, "run": run})
    for select, expected in (("run == 'a'", [0, 2]), ("run != 'a' and x < 4 m", [1, 3]), ("run == 'µ'", [1])):
        plan, file = planned(f"hits.{kind}", select=select)
        (block,) = file.blocks(0, plan.counts.muons)
        assert block.hits[:, 0].tolist() == expected


def test_lengths_are_those_after_unit_scale_and_offset():
    Path("hits.csv").write_text("pixel,sigma,other,x\n0,1,0,9\n10,2,0,9\n20,3,0,9\n")
    columns = {"x": {"column": "pixel", "scale": "250 um", "offset": "-2.5 mm"}}
    for select, expected in (
        ("x >= 0", [0.0, 0.0025]),
        ("pixel == 2.5 mm", [0.0025]),
        ("sigma < 2.5 um", [-0.0025, 0.0]),
        ("x < 1 um and other == 0", [-0.0025, 0.0]),
    ):
        plan, file = planned("hits.csv", select=select, columns=columns, sigma={"x": "sigma"}, unit="um")
        (block,) = file.blocks(0, plan.counts.muons)
        np.testing.assert_allclose(block.hits[:, 0], expected, atol=1e-18)
    with pytest.raises(PullbackError, match=r"^config: source\.select: pixel < 3: pixel is a length and 3 is a pure"):
        source("hits.csv", select="pixel < 3", columns=columns)


def test_the_whole_study_is_of_the_selected_rows():
    columns = table(2 * BLOCK)
    raw = {
        "study": "s",
        "source": {"kind": "recorded", "file": write("parquet", columns), "select": "n != 3", "keep": ["event"]},
        "compute": {"batch_cost": 20 * BLOCK},
        "scan": {"model.dz": [1, 2]},
    }
    study = Study.from_json(Study.from_config(raw).to_json())
    chosen = columns["n"] != 3
    assert set(study.muons.values()) == {chosen.sum()}
    assert study.imported.plain() == {"rows": 2 * BLOCK, "unselected": (~chosen).sum(), "muons": chosen.sum()}
    found = {}
    for name in study.batches:
        batch = Batch.from_json(study.batch("reco", name).to_json())
        assert batch == study.batch("reco", name)
        import_hits(batch, "out.h5")
        with artefact.read("out.h5", batch) as reader:
            for part in batch.parts:
                attributes = reader._file[part.label].attrs
                assert attributes["imported.unselected"] == (~chosen).sum()
                for column in ("x_reco", "event"):
                    found.setdefault((part.label, column), []).append(reader.rows(f"{part.label}/{column}"))
    assert len(found) == 4
    for (_, column), parts in found.items():
        expected = columns["x" if column == "x_reco" else column][chosen]
        np.testing.assert_array_equal(np.concatenate(parts).ravel(), expected)


def test_the_plan_of_a_file_without_selection_is_as_short_as_before():
    study = Study.from_config({"study": "s", "source": {"kind": "recorded", "file": write("csv", table(10))}})
    assert "reading" not in json.loads(study.to_json())
    assert recorded_file(study.config.source, study.model).count_muons() == 10


def test_a_selection_that_the_config_refuses():
    write("csv", table(3))
    for select, expected in (("x <", "can't be read"), ("x < 3 s", "is '3 s', and s is no"), ("x", "is a length")):
        raw = {"study": "s", "source": {"kind": "recorded", "file": "hits.csv", "select": select}}
        with pytest.raises(PullbackError, match=rf"^config: source\.select: {expected}"):
            Study.from_config(raw)


def test_memory_is_bounded(monkeypatch):
    rows = 40 * 10_000
    columns = table(rows)
    pa.parquet.write_table(pa.table(columns), "hits.parquet", row_group_size=10_000)
    plan, file = planned("hits.parquet", select="n == 1", keep=["event"])
    sizes = [len(chunk[0]) for chunk in file._chunks(0, plan.counts.muons)]
    assert max(sizes) <= BLOCK
    assert sum(sizes) == plan.counts.muons
