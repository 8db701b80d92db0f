"""A scan point of `study.h5` as a dataset of xarray, whatever its storage."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .encoding import CODES, COMPACT, DECODING, FACTORS, IN_FULL, base_of, decode, fill_in

if TYPE_CHECKING:
    import xarray


def decoded(point: xarray.DataTree) -> xarray.Dataset:
    """The columns of a scan point that xarray opened, as they are in lossless storage.

    Parameters
    ----------
    point : xarray.DataTree
        The group of a scan point, as of `xarray.open_datatree("study.h5", engine="h5netcdf")`.

    Returns
    -------
    xarray.Dataset
        Its columns with one row per muon and their coordinates, such as `end`; those of compact storage in float64.

    """
    data = point.to_dataset()
    if COMPACT not in point.children:
        return data
    full, inside = point[IN_FULL].to_dataset(), point[COMPACT].to_dataset()
    data = data.assign_coords(inside.coords)  # `end`
    for name, column in {**data.data_vars, **inside.data_vars}.items():
        about = column.attrs
        if CODES not in about:
            continue
        found = decode(column.values)
        if FACTORS in about:
            value = inside[about["value"].removeprefix(f"{COMPACT}/")].values
            found = decode(column.values, base_of(value, data[about["sigma"]].values, about[FACTORS]))
        fill_in(found, np.atleast_1d(about[CODES]), *(full[each].values for each in ("muon", "code", "value")))
        attributes = {key: each for key, each in about.items() if key not in (*DECODING, "decode")}
        data = data.assign({name: (column.dims, found, attributes)})
    return data
