"""JSON files that carry a digest of their content: `validation.json` and `target.json`."""

from __future__ import annotations

import hashlib
import json
import math
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError, WithJsonSchema
from pydantic_core import to_json

from ..errors import ArtefactError
from ..files import write_text

_OrNull = WithJsonSchema({"anyOf": [{"type": "number"}, {"type": "null"}]})

Number = Annotated[float, _OrNull]
"""A number that may be NaN, which is null in the file, since JSON has no NaN. A key without a value is left out."""

Unbounded = Annotated[float, BeforeValidator(lambda value: math.inf if value != value else value), _OrNull]
"""A number that may be infinite, which is null in the file."""


class Record(BaseModel):
    """A part of such a file. A key without a value is left out of the file."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


F = TypeVar("F", bound="EvidenceFile")


class EvidenceFile(Record):
    """The whole content of such a file."""

    digest: str = ""
    """SHA-256 of everything else in the file."""

    def write(self, path: str | Path) -> None:
        """Write the file atomically, with its digest."""
        content = json.loads(self.model_dump_json(exclude={"digest"}, exclude_none=True))
        # Python's own writer is several times slower with an indent.
        text = to_json({"digest": _digest(content), **content}, indent=1).decode()
        write_text(path, text + "\n")

    @classmethod
    def read(cls: type[F], path: str | Path, what: str = "", advice: str = "") -> F:
        """Read a file that `write` wrote.

        Of a file that the user names, `what` it should be and the `advice` are told; any other can be made again.

        Raises
        ------
        ArtefactError
            The file is missing, damaged, truncated or modified. The message names the file.

        """
        foreign, advice = f"{what}, or is " if what else "", advice or "delete it and run again"
        try:
            content = json.loads(Path(path).read_text(encoding="utf-8"))
            digest = content.pop("digest")
        except OSError as error:
            raise ArtefactError(
                f"{path}: can't be read: {error.strerror}; {advice.removeprefix('delete it and ')}"
            ) from None
        except (ValueError, AttributeError, KeyError, TypeError):
            raise ArtefactError(f"{path}: is {foreign}damaged or truncated; {advice}") from None
        if digest != _digest(content):
            raise ArtefactError(f"{path}: has been changed or damaged since it was written; {advice}")
        try:
            return cls(digest=digest, **_nan_for_null(content))
        except ValidationError:
            raise ArtefactError(f"{path}: is {foreign}of another version of pullback; {advice}") from None


def _nan_for_null(content: Any) -> Any:
    if isinstance(content, dict):
        return {key: _nan_for_null(value) for key, value in content.items()}
    if isinstance(content, list):
        return [_nan_for_null(value) for value in content]
    return math.nan if content is None else content


def _digest(content: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
