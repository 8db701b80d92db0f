"""Conditions that compare a column with what it does not hold are refused in one line, in every kind of file."""

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import pytest

from pullback.config.model_schema import Track
from pullback.config.source_schema import Recorded
from pullback.errors import PullbackError
from pullback.hits import recorded_file
from pullback.models import load_model

LAYOUTS = {"wide": {}, "long": {"layout": "long", "event": "run", "layer": "layer", "x": "x0"}}


def write(kind):
    columns = {"x0": np.arange(4.0), "x1": np.arange(4.0), "run": np.arange(4), "layer": [0, 1, 0, 1]}
    columns["name"] = ["A", "B", "C", "D"]
    if kind == "csv":
        pa.csv.write_csv(pa.table(columns), "hits.csv")
    elif kind == "parquet":
        pa.parquet.write_table(pa.table(columns), "hits.parquet")
    elif kind == "h5":
        with h5py.File("hits.h5", "w") as file:
            for name, values in columns.items():
                text = name == "name"
                file.create_dataset(name, data=list(values), dtype=h5py.string_dtype() if text else None)
    else:
        import awkward as ak
        import uproot

        with uproot.recreate("hits.root") as file:
            file.mkrntuple("hits", {name: ak.Array(list(values)) for name, values in columns.items()})
    return f"hits.{kind}"


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("kind", ["csv", "parquet", "h5", "root"])
def test_a_column_of_another_kind(kind, layout):
    path = write(kind)

    def refused(select):
        section = Recorded(file=path, select=select, **LAYOUTS[layout])
        with pytest.raises(PullbackError) as caught:
            recorded_file(section, load_model(Track(z=[0, 1]))).plan()
        assert str(caught.value).startswith(f"{path}: ")
        assert str(caught.value).isprintable()
        return str(caught.value)

    for select in ("name > 3", "run == 1 or name == 3"):
        message = refused(select)
        assert "'name'" in message
        assert message.endswith("; source.select compares it with a number: write a text in quotes, after == or !=")
    message = refused("run == 'A'")
    if kind == "csv":  # whose cells are text
        assert message == "hits.csv: none of its 4 rows is selected by source.select: run == 'A'"
    else:
        assert "'run'" in message
        assert message.endswith("; source.select compares it with a text: write a number without quotes")


@pytest.mark.parametrize("kind", ["csv", "parquet", "h5"])
def test_positions_that_are_none_are_not_said_to_be_those_of_the_condition(kind):
    path = write(kind)
    section = Recorded(file=path, columns={"x0": "name", "x1": "x1"}, select="run >= 0 and x0 < 1 m")
    with pytest.raises(PullbackError) as caught:
        recorded_file(section, load_model(Track(z=[0, 1]))).plan()
    assert "'name'" in str(caught.value)
    assert "source.select" not in str(caught.value)
