"""What a dataset holds: units, long_name and dimension scales by the netCDF-4 conventions, so that xarray opens it."""

from __future__ import annotations

from typing import Any

import h5py

from .batches import BLOCK
from .models import Quantity

Dims = dict[str, list[str] | None]
"""The dimensions of a dataset by name, with the labels along them where they have any."""

_DIMENSION_ONLY = "This is a netCDF dimension but not a netCDF variable."
_SCALE_ATTRIBUTES = {"CLASS", "NAME", "DIMENSION_LIST", "REFERENCE_LIST"}


def describe(dataset: h5py.Dataset, dims: Dims, quantity: Quantity, attributes: dict[str, Any]) -> None:
    """Give a dataset its unit and name, further attributes, and its dimension scales, made on first use."""
    dataset.attrs["units"] = quantity.unit
    dataset.attrs["long_name"] = quantity.long_name
    for name, value in attributes.items():
        dataset.attrs[name] = value
    group = dataset.parent
    for axis, (dim, labels) in enumerate(dims.items()):
        if dim not in group and labels is None:
            length = dataset.shape[axis]
            # Chunked and never written, so that it takes no space however long.
            scale = group.create_dataset(
                dim, (length,), ">f4", chunks=(max(1, min(length, BLOCK)),), maxshape=(max(1, length),)
            )
            scale.make_scale(f"{_DIMENSION_ONLY}{length:10d}")
        elif dim not in group:
            group.create_dataset(dim, data=labels, dtype=h5py.string_dtype()).make_scale(dim)
        dataset.dims[axis].attach_scale(group[dim])


def dims_of(dataset: h5py.Dataset) -> Dims:
    """The dimensions that `describe` gave a dataset."""
    scales = [dim[0] for dim in dataset.dims]
    return {
        scale.name.rsplit("/", 1)[-1]: [each.decode() for each in scale[()]] if scale.dtype.kind == "O" else None
        for scale in scales
    }


def attributes_of(dataset: h5py.Dataset) -> dict[str, Any]:
    """The attributes of a dataset, less those that make its dimension scales."""
    return {name: dataset.attrs[name] for name in sorted(dataset.attrs) if name not in _SCALE_ATTRIBUTES}
