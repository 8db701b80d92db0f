"""Recorded hits from CSV, Parquet, HDF5 and ROOT files."""
