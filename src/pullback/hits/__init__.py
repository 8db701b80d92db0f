"""Recorded hits from CSV, Parquet, HDF5 and ROOT files."""

from .counts import ImportCounts
from .hits_file import HitsFile, RecordedHits, source_of
from .layouts import recorded_file

__all__ = ["HitsFile", "ImportCounts", "RecordedHits", "recorded_file", "source_of"]
