"""Hits in CSV files as people have them: each is read right, or refused in one line that says where and what to do."""

import csv
import io
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pullback.config.source_schema import Recorded
from pullback.errors import PullbackError
from pullback.hits import csv as csv_reader
from pullback.hits.hits_file import source_of


def read(content, names=("x",)):
    """The hits of a file (muon, coordinate)."""
    Path("hits.csv").write_bytes(content if isinstance(content, bytes) else content.encode(errors="surrogatepass"))
    file = source_of(Recorded(file="hits.csv"), names)
    return np.concatenate([block.hits for block in file.blocks(0, file.count_muons())])


def refusal(content) -> str:
    with pytest.raises(PullbackError) as caught:
        read(content)
    message = str(caught.value)
    assert message.startswith("hits.csv: ")
    assert message.isprintable()
    assert len(message) < 400
    return message.removeprefix("hits.csv: ")


UNCLOSED = "a quote is opened and not closed, so that all following rows are one cell; close it or remove it"
UNSEPARATED = "text follows the quote that ends a cell; close the cell before, or write quotes within it twice"
POINTS = "numbers have decimal points, and text with commas is quoted"
NO_HEADER = "the header is missing, since the first line holds only numbers: write a line above it that"
NO_TEXT = "is not UTF-8 text; save the file as CSV UTF-8"


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b'x,note\n1,"a\n2,b\n3,c\n', f"row 1: {UNCLOSED}: '1,\"a\n'"),
        (b'note,x\na,1\n\n"b,2\n', f"row 2: {UNCLOSED}: '\"b,2\n'"),
        (b'x\n1\n\n"2\n3\n', f"row 3: {UNCLOSED}: '\"2\n'"),
        (b'"x",note\r1,"a\r2,b\r', f"row 1: {UNCLOSED}: '1,\"a\r'"),
        (b'x,note\n1,a\n2,"b\n3,"c\n4,d\n', f"row 2: {UNSEPARATED}: '2,\"b\n'"),
        (b'x,note\n1,"a"b\n2,c\n', f"row 1: {UNSEPARATED}: '1,\"a\"b\n'"),
        (b'x,note\n1,"a" \n2,c\n', f"row 1: {UNSEPARATED}: '1,\"a\" \n'"),
        (
            b'x,note\n"1\n2",a\n',
            r"row 1, column 'x': '1\n2' is not a number; close the quote at the beginning of the cell",
        ),
        (b'"x,note\n1,2\n', f"the header: {UNCLOSED}"),
        (b'x,"a"b\n1,2\n', f"the header: {UNSEPARATED}"),
        (b'x, "note"\n1, "a"\n"2, "b"\n', f"row 2: {UNSEPARATED}"),
        (b'"x\n(mm)",y\n1,2\n', r"no column 'x'; the columns are: x\n(mm), y"),
        (b"x,y\n1,2\n3\n", "row 2: has 1 cell, and the header 2: '3'; is a cell missing, or the end of the file?"),
        (b'"x\n",y\n1,2\n\n3,4,5\n', f"row 2: has 3 cells, and the header 2: '3,4,5'; {POINTS}"),
        (b"x,y\r1,2\r3,4,5\r", f"row 2: has 3 cells, and the header 2: '3,4,5'; {POINTS}"),
        (b"x,y\n1,2,\n", f"row 1: has 3 cells, and the header 2: '1,2,'; {POINTS}"),
        (b"x\n1,5\n", f"row 1: has 2 cells, and the header 1: '1,5'; {POINTS}"),
        (b"x,y\n1,2\n# run 2\n3,4\n", "row 2: has 1 cell, and the header 2: '# run 2'; remove comments"),
        (
            b"# made by\nx,y\n1,2\n",
            "no column 'x'; the columns are: # made by; the first line must be the header",
        ),
        (b"# x y\n1.0 2.0\n", "no column 'x'; the columns are: # x y; the first line must be the header: remove the #"),
        (b"a,mm;x,mm\n1;2\n", "no column 'x'; the columns are: a, mm;x, mm; the header has commas and semicolons"),
        (
            b"x y\n1 2\n",
            "no column 'x'; the columns are: x y; cells must be separated by commas, semicolons or tabs, not",
        ),
        (
            b"x|y\n1|2\n",
            "no column 'x'; the columns are: x|y; cells must be separated by commas, semicolons or tabs, not",
        ),
        (
            b"sep=;\nx;y\n1;2\n",
            "no column 'x'; the columns are: sep=, ; the first line must be the header: remove the",
        ),
        (
            b"x;y\n1,5;2\n1.5;2\n",
            "row 2, column 'x': '1.5' has a decimal point, and numbers before it have decimal commas; write all alike",
        ),
        (b"x;y\n1.000,5;2\n", "row 1, column 'x': '1.000,5' is not a number; numbers have decimal points and no other"),
        (b"x;y\n1;2;3\n", "row 1: has 3 cells, and the header 2: '1;2;3'; text with semicolons is quoted"),
        (b"x\ty\n1\t2\n1\t'a'b\t3\n", "row 2: has 3 cells, and the header 2: '1"),
        ("x;µm\n1;2\n".encode("cp1252"), f"the header, column 2: {NO_TEXT}"),
        (b'x;note\n1;"a\n2;b\n', f"row 1: {UNCLOSED}: '1;\"a\n'"),
        (b"1,2\n3,4\n", f"{NO_HEADER} names its 2 columns, such as x0,x1"),
        (b"1\n3\n", f"{NO_HEADER} names its column, such as x0"),
        (b"1,5;2,5;\n1,6;2;\n", f"{NO_HEADER} names its 3 columns, such as x0;x1;x2"),
        (b"1.5;2\n", f"{NO_HEADER} names its 2 columns, such as x0;x1"),
        (b"1\t2,5\n", f"{NO_HEADER} names its 2 columns, such as x0, x1, separated by tabs"),
        (
            b"1 2 3\n",
            f"{NO_HEADER} names its 3 columns, such as x0,x1,x2; cells must be separated by commas, semicolons",
        ),
        (b"1;2;3;4;5;6\n", f"{NO_HEADER} names its 6 columns, such as x0;x1;…"),
        (b"X Y,Z\n1,2\n", "no column 'x'; the columns are: X Y, Z"),
        (b"\nx\n1\n", "the first line is empty; it must be the header, which names the columns"),
        (b"x,x\n1,2\n", "more than one column 'x'; the columns are: x, x"),
        (b"x,y\n1,2\nx,y\n3,4\n", "row 2, column 'x': 'x' is not a number; duplicate of the header"),
        (b'x,y\n"1,5",2\n', "row 1, column 'x': '1,5' is not a number; numbers have decimal points and no other"),
        (b'x\n"-1,234.5"\n', "row 1, column 'x': '-1,234.5' is not a number"),
        (b"x\n1\nNA\n", "row 2, column 'x': 'NA' is not a number; leave the cell of a missing hit empty"),
        (b"x\n0x1p3\n", "row 1, column 'x': '0x1p3' is not a number"),
        (b"x\n1d5\n", "row 1, column 'x': '1d5' is not a number"),
        (b"x\n1_000\n", "row 1, column 'x': '1_000' is not a number"),
        ("x\n\u22121\n", "row 1, column 'x': '\u22121' is not a number"),
        (b"x\n1\n\x1a", r"row 2, column 'x': '\x1a' is not a number"),
        (b"x\n1\x002\n", r"row 1, column 'x': '1\x002' is not a number"),
        (b"x\n" + b"a" * (1 << 20) + b"\n", f"row 1, column 'x': '{'a' * 80}…' is not a number"),
        (b"x\0\n1\n", r"no column 'x'; the columns are: x\x00; this is not UTF-8 text: save it as CSV UTF-8"),
        ("x\n1\n".encode("utf-16-le"), r"no column 'x'; the columns are: x\x00; this is not UTF-8 text"),
        ("x\n1\n".encode("utf-16"), f"the header, column 1: {NO_TEXT}"),
        ("x,µm\n1,2\n".encode("cp1252"), f"the header, column 2: {NO_TEXT}"),
        (b"x,\xed\xa0\x80\n1,2\n", f"the header, column 2: {NO_TEXT}"),
        (b"a" * (9 << 20), "the header: is longer than 8 MiB; is this CSV, with line ends?"),
        (
            b"x," + b"a" * (1 << 20) + b"\n1,2\n",
            "the header: a cell has more than 131072 characters; is a quote opened",
        ),
        (b"x," + b"bc," * (3 << 20) + b"\n1\n", "the header: is longer than 8 MiB"),
        ("x," + "éé," * (2 << 20) + "\n1\n", "the header: is longer than 8 MiB"),
        (b"x,y\n1,2\n2," + b"a" * (20 << 20) + b"\n", "a row is longer than 8 MiB"),
        (
            b'x,y\n1,2\n2,"' + b"a\n" * (10 << 20) + b"\n",
            "row 2: a cell has more than 131072 characters; is a quote op",
        ),
        (b'x,"' + b"a\n" * (10 << 20) + b"\n", "the header: a cell has more than 131072 characters; is a quote op"),
        (b"x,y", "holds no hits, only a header"),
        (b'"x\n",y\n', r"holds no hits, only a header"),
        (b"\xef\xbb\xbf", "the file is empty"),
        (b"\n", "the first line is empty"),
        (b"X,y\n1,2\n", "no column 'x'; the columns are: X, y; did you mean X?"),
        (
            b"x\n1\n5 mm\n",
            "row 2, column 'x': '5 mm' is not a number; cells are numbers alone, in the unit of source.unit",
        ),
        ("x\n5e-3µm\n".encode(), "row 1, column 'x': '5e-3µm' is not a number; cells are numbers alone"),
        (b"x\n1D-3\n", "row 1, column 'x': '1D-3' is not a number; an exponent begins with e: 1e-3"),
        ("x\n\N{MINUS SIGN}1\n".encode(), "row 1, column 'x': '\N{MINUS SIGN}1' is not a number; a minus sign is -"),
    ],
)
def test_what_is_not_read_is_refused_with_its_row_and_advice(content, expected):
    expected = expected.replace("\n'", r"\n'").replace("\r'", r"\r'")
    assert refusal(content).startswith(expected)


NAN, INF = math.nan, math.inf


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b'x,note\n1,"a\nb"\n2,"c, ""d"""\n3,\n', [1, 2, 3]),
        (b'x,note\n1,5" long\n2,"5"" long"\n3,"\r\n"\n', [1, 2, 3]),
        (b'"x","note"\r\n"1","a"\r\n"2","b"\r\n', [1, 2]),
        (b'"x\n","no""te\n\n"\n1,2\n3,4\n', [1, 3]),
        (b'x, note\n 1 , "a"\n\t2,"b"\n', [1, 2]),
        (b'x,y\n"",2\n" ",2\n,2\n', [NAN] * 3),
        (b"x,y,\n1,2,\n3,4,\n", [1, 3]),
        (b",x\n0,1.5\n1,2.5\n", [1.5, 2.5]),
        (b"x,y,y\n1,2,3\n", [1]),
        (b"x,y\r1,2\r3,4\r", [1, 3]),
        (b"x\r1\r\r2", [1, NAN, 2]),
        (b"\xef\xbb\xbfx,y\r1,2\r3,4", [1, 3]),
        (b"x,y\r\n1,2\n3,4\r5,6\n", [1, 3, 5]),
        (b"x,y\r\r\n1,2\r\r\n", [1]),
        (b"x,y\n1,2\n\n\n3,4\n\n", [1, 3]),
        (b"x\ninf\n-Inf\nnan\nNaN\nInfinity\n\n", [INF, -INF, NAN, NAN, INF, NAN]),
        (b"x\n+1.5\n.5\n5.\n1e5\n1E-5\n007\n-0\n", [1.5, 0.5, 5, 1e5, 1e-5, 7, 0]),
        ("x\n1\u00a0\n", [1]),
        (b"x,y\n1,\xff\n2,3\n", [1, 2]),
        ("x,y\n1,a\u2028b\x0b\x0c\x1c\x85\n2,\0\n", [1, 2]),
        (b"x," + b",".join(b"%d" % each for each in range(100_000)) + b"\n" + b"1," * 100_000 + b"2\n", [1]),
        (b"x,y\n1," + b"a" * (3 << 20) + b"\n2,3\n", [1, 2]),
        (b"x;y\r\n1,5;2,5\r\n;1\r\n-,25e-3;0\r\n7;1\r\n", [1.5, NAN, -0.25e-3, 7]),
        (b"x;y\n1.5;2\n-2;3\n", [1.5, -2]),
        (b'note;x\n"a;b";1\nc,d;2\n', [1, 2]),
        (b"x\ty\n1.5\t2\n\t3\n", [1.5, NAN]),
        (b"x\t\n1\n2\n", [1, 2]),
    ],
)
def test_what_is_read_is_read_right(content, expected):
    np.testing.assert_array_equal(read(content)[:, 0], expected)


def test_numbers_of_both_kinds_are_refused_however_far_apart(monkeypatch):
    monkeypatch.setattr("pullback.hits.csv.CSV_CHUNK_BYTES", 1 << 10)
    for one, other in (("1.5", "1,5"), ("1,5", "1.5")):
        before, here = ("points", "comma") if "," in other else ("commas", "point")
        assert refusal(f"x;y\n{one};2\n" + "1;2\n" * 2000 + f"{other};3\n") == (
            f"row 2002, column 'x': '{other}' has a decimal {here}, and numbers before it have decimal {before}; "
            "write all alike"
        )


def test_the_first_number_of_the_other_kind_is_named():
    Path("hits.csv").write_text("x;n;y\n1;2;a\n2;2.5;3\n3;1,5;2,5\n1,5;2;3\n")
    with pytest.raises(PullbackError, match=r"^hits\.csv: row 3, column 'n': '1,5' has a decimal comma, and numbers"):
        csv_reader.count("hits.csv", ["x", "n", "y"])


def test_line_breaks_in_quotes_where_two_stretches_meet(monkeypatch):
    monkeypatch.setattr("pullback.hits.csv.CSV_CHUNK_BYTES", 1 << 10)
    rows = [(index, 'a\nb,"c"\r\n' * (index % 7)) for index in range(2000)]
    written = io.StringIO(newline="")
    csv.writer(written).writerows([("x", "note"), *rows])
    np.testing.assert_array_equal(read(written.getvalue())[:, 0], range(2000))


def test_a_quote_that_is_not_closed_far_down(monkeypatch):
    rows = [f"{index},a" for index in range(300_000)]
    rows[250_000] = '1,"a'
    assert refusal("x,note\n" + "\n".join(rows) + "\n").startswith("row 250001: a cell has more than 131072 characters")
    assert refusal("x,note\n" + "\n".join(rows[:250_100]) + "\n").startswith(f"row 250001: {UNCLOSED}")


pieces = st.sampled_from(['"', '""', ",", "\n", "\r", "\r\n", "1", "-2.5", "x", " ", "\0", "é", "#"])


@settings(deadline=None, max_examples=300)
@given(body=st.lists(pieces, max_size=25).map("".join), columns=st.sampled_from([1, 2]), ends=st.booleans())
@example(body='1,"\n', columns=2, ends=False)
def test_any_text_is_read_as_the_standard_library_reads_it_or_refused(body, columns, ends):
    body = "\n" + body + "\n" * ends
    header = "x" + ",y" * (columns - 1)
    try:
        rows = list(csv.reader(io.StringIO(body.removeprefix("\n"), newline=""), strict=True))
        rows = [row for row in rows if row] if columns == 2 else [row or [""] for row in rows]
        cells = [row[0].strip() for row in rows]
        expected = [math.nan if cell == "" else float(cell) for cell in cells]
        good = bool(rows) and all(len(row) == columns for row in rows)
    except (csv.Error, ValueError):
        good = False
    if good:
        np.testing.assert_array_equal(read(header + body)[:, 0], expected)
    else:
        refusal(header + body)
