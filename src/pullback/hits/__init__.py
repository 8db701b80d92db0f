"""Recorded hits from CSV, Parquet, HDF5 and ROOT files."""

from .hits_file import HitsFile, RecordedHits, source_of

__all__ = ["HitsFile", "RecordedHits", "source_of"]
