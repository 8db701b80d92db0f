"""The two layouts of files of recorded hits: one row per muon (wide), or one row per hit (long)."""

from __future__ import annotations

from typing import Protocol

from ..models import Model
from .counts import ImportCounts
from .hits_file import HitsFile, source_of
from .reading import Reading
from .recorded import RecordedSource


class AnySource(RecordedSource, Protocol):
    """The config's `source` section of recorded hits in either layout."""

    @property
    def layout(self) -> str:
        """Either `wide` or `long`."""


def recorded_file(
    section: AnySource,
    model: Model,
    sha256: str = "",
    planned: ImportCounts | None = None,
    reading: Reading | None = None,
) -> HitsFile:
    """The file of the config's `source` section, for a model, as it was when the study was planned.

    Raises
    ------
    ConfigError
        The section names what the model does not have, or contradicts itself.

    """
    if section.layout == "long":
        from .long_source import LongSource, long_source_of

        assert isinstance(section, LongSource)
        return long_source_of(section, model, sha256, planned, reading)
    return source_of(section, [each.name for each in model.coordinates], sha256, reading)
