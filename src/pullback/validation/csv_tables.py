"""Text files of a study: resolved config, points, and CSV tables."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from ..files import write_text
from ..study.plan import Study
from ..study.scan import number


def write_config(study: Study, path: str | Path) -> None:
    """Write the resolved config, with all defaults, as YAML."""
    config = study.config.model_dump(mode="json")
    write_text(path, yaml.safe_dump(config, sort_keys=False, allow_unicode=True, width=120))


def write_points(study: Study, path: str | Path) -> None:
    """Write the points as CSV: label, scanned values, number of muons, and batches."""
    batches: dict[str, list[str]] = {point.label: [] for point in study.points}
    for name, batch in study.batches.items():
        for part in batch.parts:
            batches[part.label].append(name)
    rows = [
        {
            "point": point.label,
            **scanned(point.values),
            "muons": study.muons[point.label],
            "batches": " ".join(batches[point.label]),
        }
        for point in study.points
    ]
    write_csv(path, rows)


def scanned(values: dict[str, float]) -> dict[str, str]:
    """Scanned values as they appear in tables."""
    return {name: number(value) for name, value in values.items()}


def write_csv(path: str | Path, rows: Sequence[dict[str, Any]]) -> None:
    """Write rows as CSV, with one column per key of any row. Numbers are exact; None and NaN become empty cells."""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(dict.fromkeys(key for row in rows for key in row)), lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow({key: "" if value is None or value != value else value for key, value in row.items()})
    write_text(path, text.getvalue())
