"""Compressed CSV files are read as the plain ones are, and refused in one line when they are damaged."""

import gzip
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from pullback.config.source_schema import Recorded
from pullback.errors import HitsError
from pullback.hits import csv
from pullback.hits.hits_file import source_of
from pullback.study.blocks import BLOCK

PACKED = {"gz": lambda text: gzip.compress(text, mtime=0), "zst": lambda text: pa.compress(text, "zstd", asbytes=True)}


def packed(kind, text, name="hits.csv"):
    path = f"{name}.{kind}"
    Path(path).write_bytes(PACKED[kind](text.encode() if isinstance(text, str) else text))
    return path


def hits(path, start=0, stop=None):
    file = source_of(Recorded(file=path), ["x"])
    muons = file.count_muons()
    return np.concatenate([block.hits for block in file.blocks(start, muons if stop is None else stop)])[:, 0]


@pytest.mark.parametrize("kind", PACKED)
def test_the_hits_are_those_that_were_packed(kind):
    x = np.random.default_rng(3).normal(size=BLOCK + 5000)
    text = "\ufeffnote,x\r\n" + "".join(f'"a,b",{value!r}\r\n' for value in x.tolist())
    path = packed(kind, text, "Hits.CSV")
    np.testing.assert_array_equal(hits(path), x)
    np.testing.assert_array_equal(hits(path, 1000, BLOCK + 7), x[1000 : BLOCK + 7])


def test_a_gzip_file_may_have_several_members():
    Path("hits.csv.gz").write_bytes(PACKED["gz"](b"x\n1\n2") + PACKED["gz"](b"5\n3\n"))
    np.testing.assert_array_equal(hits("hits.csv.gz"), [1, 25, 3])


@pytest.mark.parametrize("kind", PACKED)
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "the file is empty"),
        ("\n", "the first line is empty"),
        ("x\n", "holds no hits, only a header"),
        ("y\n1\n", "no column 'x'; the columns are: y"),
        ("x\n1\n2\n0.5m\n", "row 3, column 'x': '0.5m' is not a number"),
        ("x,y\n1,2\n3\n", "row 2: has 1 cell, and the header 2: '3'"),
        (b"y,x\n1,2\n1,\xff\n", "row 2, column 2: is not UTF-8"),
        ('x,y\n1,"a\n2,b\n', "row 1: a quote is opened and not closed"),
    ],
)
def test_what_is_wrong_is_said_as_of_a_plain_file(kind, text, expected):
    path = packed(kind, text)
    with pytest.raises(HitsError) as caught:
        hits(path)
    assert str(caught.value).startswith(f"{path}: {expected}")


@pytest.mark.parametrize("kind", PACKED)
@pytest.mark.parametrize("rows", [20, 100_000])
def test_a_file_that_is_cut_off_or_damaged_is_refused(kind, rows):
    rng = np.random.default_rng(7)
    whole = PACKED[kind](("x\n" + "".join(f"{value}\n" for value in rng.normal(size=rows).round(6))).encode())
    for cut in (len(whole) - 1, len(whole) // 2, 6):
        Path(f"hits.csv.{kind}").write_bytes(whole[:cut])
        with pytest.raises(HitsError, match=rf"^hits\.csv\.{kind}: is cut off: fetch or write it again$"):
            hits(f"hits.csv.{kind}")
    if kind == "gz":  # what pyarrow writes by zstd has no checksum
        damaged = bytearray(whole)
        damaged[len(whole) // 2] ^= 1
        Path("hits.csv.gz").write_bytes(damaged)
        with pytest.raises(HitsError, match=r"^hits\.csv\.gz: is damaged, or not compressed by gzip: fetch or write"):
            hits("hits.csv.gz")


def test_names_of_other_kinds():
    Path("plain.csv.gz").write_text("x\n1\n")
    with pytest.raises(HitsError, match=r"plain\.csv\.gz: is damaged, or not compressed by gzip"):
        hits("plain.csv.gz")
    Path(packed("zst", "x\n1\n")).rename("other.csv.gz")
    with pytest.raises(HitsError, match=r"other\.csv\.gz: is compressed by zstd: name it \.csv\.zst if it is CSV"):
        hits("other.csv.gz")
    with pytest.raises(HitsError, match=r"hits\.txt\.gz: is compressed by gzip: name it \.csv\.gz if it is CSV"):
        hits(packed("gz", "x\n1\n", "hits.txt"))


@pytest.mark.parametrize("kind", PACKED)
def test_a_file_that_unpacks_to_much_is_streamed(kind, monkeypatch):
    monkeypatch.setattr(csv, "CSV_CHUNK_BYTES", 1 << 16)  # of which pyarrow reads 32 ahead
    path = packed(kind, b"note,x\n" + (b"y" * 1000 + b",0.5\n") * 60_000)  # 60 MB
    file = source_of(Recorded(file=path), ["x"])
    before = most = pa.total_allocated_bytes()
    assert file.count_muons() == 60_000
    for block in file.blocks(0, 60_000, 500):
        most = max(most, pa.total_allocated_bytes())
        assert (block.hits == 0.5).all()
    assert most - before < 15e6
