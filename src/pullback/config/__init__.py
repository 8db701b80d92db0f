"""The config of a study, and messages about mistakes in it."""
