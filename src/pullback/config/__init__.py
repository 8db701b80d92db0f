"""The config of a study, and messages about mistakes in it."""

from .schema import PointConfig, StudyConfig

__all__ = ["PointConfig", "StudyConfig"]
