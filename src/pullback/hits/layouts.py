"""The file of recorded hits of a study, by the config's `source` section."""

from __future__ import annotations

from ..models import Model
from .counts import ImportCounts
from .hits_file import HitsFile, RecordedSource, source_of
from .reading import Reading


def recorded_file(
    section: RecordedSource,
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
    return source_of(section, [each.name for each in model.coordinates], sha256, reading or Reading())
