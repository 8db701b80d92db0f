"""`validation.json`: the verdict and its evidence, with a digest of both."""

from __future__ import annotations

import hashlib
import json
import math
from pathlib import Path
from typing import Any

from ..errors import ArtefactError
from ..files import write_text

Evidence = dict[str, Any]
"""The verdict, and for each point and observable its verdict, reasons, counts and bins."""


def write_evidence(path: str | Path, evidence: Evidence) -> None:
    """Write the evidence atomically. NaN and infinite numbers become null, since JSON has neither."""
    evidence = _finite(evidence)
    text = json.dumps({"digest": _digest(evidence), **evidence}, indent=1, ensure_ascii=False, allow_nan=False)
    write_text(path, text + "\n")


def read_evidence(path: str | Path) -> Evidence:
    """Read the evidence that `write_evidence` wrote.

    Raises
    ------
    ArtefactError
        The file is missing, damaged, truncated or modified. The message names the file.

    """
    try:
        evidence = json.loads(Path(path).read_text(encoding="utf-8"))
        digest = evidence.pop("digest")
    except OSError as error:
        raise ArtefactError(f"{path}: can't be read: {error.strerror}; run again") from None
    except (ValueError, AttributeError, KeyError, TypeError):
        raise ArtefactError(f"{path}: is damaged or truncated; delete it and run again") from None
    if digest != _digest(evidence):
        raise ArtefactError(f"{path}: has been changed or damaged since it was written; delete it and run again")
    return evidence


def _finite(value: Any) -> Any:
    """A nested value with None for every NaN or infinite number."""
    if isinstance(value, dict):
        return {key: _finite(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _digest(evidence: Evidence) -> str:
    return hashlib.sha256(json.dumps(evidence, sort_keys=True).encode()).hexdigest()
