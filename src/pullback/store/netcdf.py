"""Units, long names and dimension scales of datasets by the netCDF-4 conventions, so that xarray opens a file."""

from __future__ import annotations

from typing import Any

import h5py

from ..models import Quantity
from ..study import blocks

Dims = dict[str, list[str] | None]
"""Names of the dimensions of a dataset, with the labels along each dimension if it has any."""

_DIMENSION_ONLY = "This is a netCDF dimension but not a netCDF variable."
_SCALE_ATTRIBUTES = {"CLASS", "NAME", "DIMENSION_LIST", "REFERENCE_LIST"}


def describe(dataset: h5py.Dataset, dims: Dims, quantity: Quantity, attributes: dict[str, Any]) -> None:
    """Give a dataset its unit, long name, attributes and dimension scales, which are created on first use."""
    dataset.attrs.update({"units": quantity.unit, "long_name": quantity.long_name, **attributes})
    group = dataset.parent
    for axis, (dim, labels) in enumerate(dims.items()):
        if dim not in group and labels is None:
            length = dataset.shape[axis]
            # Chunked and never written, so that it takes no space.
            scale = group.create_dataset(
                dim, (length,), ">f4", chunks=(max(1, min(length, blocks.BLOCK)),), maxshape=(max(1, length),)
            )
            scale.make_scale(f"{_DIMENSION_ONLY}{length:10d}")
        elif dim not in group:
            group.create_dataset(dim, data=labels, dtype=h5py.string_dtype()).make_scale(dim)
        dataset.dims[axis].attach_scale(group[dim])


Scales = dict[int, tuple[str, list[str] | None]]
"""Name and labels of the dimension scales of a group, by their address in the file."""


def scales_of(group: h5py.Group) -> Scales:
    """The dimension scales that `describe` made in a group."""
    scales = {name: each for name, each in group.items() if isinstance(each, h5py.Dataset) and each.is_scale}
    return {
        _address(each): (name, [label.decode() for label in each[()]] if each.dtype.kind == "O" else None)
        for name, each in scales.items()
    }


def dims_of(dataset: h5py.Dataset, scales: Scales) -> Dims:
    """The dimensions that `describe` gave a dataset, from the `scales_of` its group."""
    # By address: to find the name of a referenced scale, HDF5 searches the whole file.
    return dict(scales[_address(dim[0])] for dim in dataset.dims)


def _address(dataset: h5py.Dataset) -> int:
    return h5py.h5o.get_info(dataset.id).addr


def attributes_of(dataset: h5py.Dataset) -> dict[str, Any]:
    """The attributes of a dataset without those of its dimension scales."""
    return {name: dataset.attrs[name] for name in sorted(dataset.attrs) if name not in _SCALE_ATTRIBUTES}
