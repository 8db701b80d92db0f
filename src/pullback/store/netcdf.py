"""Units, long names and dimension scales of datasets by the netCDF-4 conventions, so that xarray opens a file."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import h5py

from ..models import Quantity
from ..study import blocks

Dims = dict[str, list[str] | None]
"""Names of the dimensions of a dataset, with the labels along each dimension if it has any."""

_DIMENSION_ONLY = "This is a netCDF dimension but not a netCDF variable."
_SCALE_ATTRIBUTES = {"CLASS", "NAME", "DIMENSION_LIST", "REFERENCE_LIST"}


def describe(
    group: h5py.Group,
    dataset: h5py.Dataset,
    dims: Dims,
    quantity: Quantity,
    attributes: dict[str, Any],
    scales: dict[str, h5py.Dataset] | None = None,
) -> None:
    """Give a dataset of a group its unit, long name, attributes and dimension scales, which are created on first use.

    `scales` keeps the group's scales by name from one call to the next, which saves HDF5 looking them up.
    """
    dataset.attrs.update({"units": quantity.unit, "long_name": quantity.long_name, **attributes})
    scales = {} if scales is None else scales
    for axis, (dim, labels) in enumerate(dims.items()):
        if dim not in scales:
            scales[dim] = group[dim] if dim in group else _new_scale(group, dim, labels, dataset.shape[axis])
        dataset.dims[axis].attach_scale(scales[dim])


def _new_scale(group: h5py.Group, dim: str, labels: list[str] | None, length: int) -> h5py.Dataset:
    if labels is None:
        # Chunked and never written, so that it takes no space.
        chunks = (max(1, min(length, blocks.BLOCK)),)
        scale = group.create_dataset(dim, (length,), ">f4", chunks=chunks, maxshape=(max(1, length),))
        scale.make_scale(f"{_DIMENSION_ONLY}{length:10d}")
    else:
        scale = group.create_dataset(dim, data=labels, dtype=h5py.string_dtype())
        scale.make_scale(dim)
    return scale


def members_of(group: h5py.Group) -> Iterator[tuple[str, h5py.Group | h5py.Dataset]]:
    """Name and member of a group without types of its own, in order of name."""
    for name in group:
        # The low-level interface takes a third of the time for the hundreds of columns of a study.
        member = h5py.h5o.open(group.id, name.encode())
        yield name, h5py.Group(member) if isinstance(member, h5py.h5g.GroupID) else h5py.Dataset(member)


Scales = dict[int, tuple[str, list[str] | None]]
"""Name and labels of the dimension scales of a group, by their address in the file."""


def scales_of(group: h5py.Group) -> Scales:
    """The dimension scales that `describe` made in a group."""
    return {
        _address(each): (name, [label.decode() for label in each[()]] if each.dtype.kind == "O" else None)
        for name, each in members_of(group)
        if isinstance(each, h5py.Dataset) and each.is_scale
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
