from types import MappingProxyType

import numpy as np
import pytest

from pullback.store import export_fields
from pullback.store.export_fields import Field, in_suited_unit, size_of
from pullback.store.study_file import StudyReader


def test_matrices_are_named_by_both_labels_and_truths_become_numbers():
    """Columns that this study doesn't have, as a reader shows them."""

    class Dataset(np.ndarray):
        attrs = MappingProxyType({"units": "m²", "long_name": "covariance"})

    class Reader(StudyReader):
        def __init__(self):
            self.path = "study.h5"

        def columns(self, group):
            yield f"{group}/c", np.zeros((5, 2, 2)).view(Dataset)
            yield f"{group}/ok", np.zeros(5, bool).view(Dataset)
            yield f"{group}/steps", np.zeros((5, 2)).view(Dataset)
            yield f"{group}/layer_z", np.zeros(3).view(Dataset)

        def dims(self, column):
            both = {"coordinate": ["x0", "x1"], "other_coordinate": ["x0", "x1"]}
            more = {"c": both, "ok": {}, "steps": {"step": None}}
            name = column.rsplit("/", 1)[1]
            return {"muon": None, **more[name]} if name in more else {"layer": None}

    fields, rows = export_fields._stored(Reader(), "nominal", "muons")
    assert rows == 5
    names = ["c_x0_x0", "c_x0_x1", "c_x1_x0", "c_x1_x1", "ok", "steps_0", "steps_1"]
    assert [field.name for field in fields] == names
    assert [field.element for field in fields[:4]] == [(slice(None), i, j) for i in (0, 1) for j in (0, 1)]
    assert fields[1].long_name == "covariance, x0, x1"
    assert fields[4].dtype == "u1"


LENGTH = Field("sigma_x", "sigma_x", (slice(None),), np.dtype("f8"), "m", "σ", sized_by=("sigma_x",))


@pytest.mark.parametrize("values", [[], [np.nan, np.inf], [0.0]])
def test_a_column_without_any_size_keeps_its_unit(values):
    assert in_suited_unit(LENGTH, [("m", size_of(np.array(values)))]) == LENGTH._replace(name="sigma_x_m")


def test_the_median_of_the_sizes_sets_the_unit():
    size = size_of(np.array([np.nan, 0.0, 2e-5, -1e9, 3e-5]))
    small = in_suited_unit(LENGTH, [("m", size)])
    assert (small.name, small.units, small.factor) == ("sigma_x_um", "µm", 1e6)


def test_products_have_the_units_of_their_factors():
    covariance = LENGTH._replace(name="covariance_x_theta", units="m rad")
    found = in_suited_unit(covariance, [("m", 2e-5), ("rad", 3e-3)])
    assert (found.name, found.units, found.factor) == ("covariance_x_theta_um_mrad", "µm mrad", 1e9)
    square = in_suited_unit(covariance, [("rad", 3e-3), ("rad", 3e-3)])
    assert (square.name, square.units, square.factor) == ("covariance_x_theta_mrad2", "mrad2", 1e6)
    slope = in_suited_unit(covariance._replace(per="m"), [("1", 0.0)])
    assert (slope.name, slope.units, slope.factor) == ("covariance_x_theta_per_m", "1/m", 1.0)


def test_the_root_of_a_square_is_that_of_lengths_and_angles_only():
    assert [export_fields._root(unit) for unit in ("m2", "rad2", "m", "GeV2", "", "1")] == [
        "m",
        "rad",
        "m",
        "GeV2",
        "",
        "1",
    ]
