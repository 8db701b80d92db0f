"""Recorded hits from CSV, Parquet, HDF5 and ROOT files."""

from .counts import ImportCounts
from .hits_file import HitsFile, source_of
from .layouts import recorded_file
from .reading import Planned, Reading
from .recorded import RecordedHits

__all__ = ["HitsFile", "ImportCounts", "Planned", "Reading", "RecordedHits", "recorded_file", "source_of"]
