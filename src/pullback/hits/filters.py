"""Filters that compress datasets of HDF5 files, beyond those of HDF5 itself."""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Iterator

import h5py

from ..errors import HitsError, one_line

FILTERS = {
    305: "LZO",
    307: "bzip2",
    32000: "LZF",
    32001: "Blosc",
    32004: "LZ4",
    32008: "Bitshuffle",
    32013: "ZFP",
    32015: "Zstandard",
    32017: "SZ",
    32018: "FCIDECOMP",
    32024: "SZ3",
    32026: "Blosc2",
    32028: "Sperr",
}
"""Names of filters by their number, as The HDF Group registers them."""

FILTER_PACKAGE = "hdf5plugin"
"""The package with most of them."""


def load_filters(file: str, datasets: Iterable[h5py.Dataset]) -> None:
    """Make the filters of datasets available, by `hdf5plugin` where HDF5 itself does not have one.

    Raises
    ------
    HitsError
        A filter is not available, or `hdf5plugin` is needed and not installed. The message names the filter.

    """
    missing = {code: (name, dataset) for dataset in datasets for code, name in _missing(dataset)}
    for code, (name, dataset) in missing.items():
        what = f"{file}: {dataset.name.strip('/')!r} is compressed by {name}"
        try:
            importlib.import_module(FILTER_PACKAGE)
        except ModuleNotFoundError:
            advice = 'pip install "pullback[hdf5]"'
            raise HitsError(f"{what}, which needs {FILTER_PACKAGE}, which is not installed: {advice}") from None
        if not h5py.h5z.filter_avail(code):
            raise HitsError(
                f"{what}, which {FILTER_PACKAGE} does not have; write it with gzip (zlib in PyTables) or Blosc"
            )


def _missing(dataset: h5py.Dataset) -> Iterator[tuple[int, str]]:
    """Number and name of each filter of a dataset that is not available."""
    properties = dataset.id.get_create_plist()
    for index in range(properties.get_nfilters()):
        code, _, _, name = properties.get_filter(index)
        if not h5py.h5z.filter_avail(code):
            said = one_line(name.decode(errors="replace")) or "an unknown filter"
            yield code, FILTERS.get(code, f"{said} (filter {code})")
