"""Figures of a study, as SVG and on request as PDF: always the same bytes, readable in grey and by the colour-blind."""

from __future__ import annotations

import io
import logging
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from ...files import whole
from ...store.alignment_file import AlignmentFile
from ...store.study_file import open_study
from ...store.target_file import TargetAnswers
from ...study.plan import Study
from ...validation.evidence import Evidence
from ..by_processes import by_processes
from ..gallery import SCANNED, Figure, gallery
from .base import STYLE, Canvas, ResidualSpread, Subject, plt
from .budget import OF_SOURCES
from .detector import detector
from .events import events
from .fits import OF_FITS
from .hit_maps import hit_maps
from .in_time import in_time
from .layout import lay_out
from .point import OF_POINT
from .pointing import pointing
from .residuals import chi2_distribution, residuals_by_layer
from .scan import OF_SCAN
from .target import target_figure

log = logging.getLogger(__name__)

OF_DATA: dict[str, Callable[[Subject], Canvas]] = {
    "hit_maps": hit_maps,
    "events": events,
    "residuals_by_layer": residuals_by_layer,
    "chi2": chi2_distribution,
    "in_time": in_time,
    "pointing": pointing,
}
"""What draws each kind of picture of the data."""

OF_SUBJECT = {"detector": detector, **OF_POINT, **OF_SOURCES, **OF_FITS, **OF_DATA}
"""What draws each kind of figure of a scan point."""

METADATA: dict[str, dict[str, Any]] = {
    "svg": {"Date": None, "Creator": None},
    "pdf": {"CreationDate": None, "Creator": None, "Producer": None},
}
"""No time of creation in the files, and no version of the drawing library."""


def plot(
    study: Study,
    study_file: str | Path,
    validation: str | Path,
    svgs: Sequence[str | Path],
    target: str | Path | None = None,
    alignment: str | Path | None = None,
    processes: int = 1,
) -> None:
    """Draw every figure of the study's gallery, in its order, in several processes.

    PDFs are drawn beside the SVGs if the config asks for them; else those of an earlier run, which show what it drew,
    are removed. `alignment` is the `alignment.json` of a study that aligns its layers, with the residuals before it.
    """
    evidence, before = Evidence.read(validation), _spreads(study, alignment) if alignment else {}

    def draw_and_save(figures: Iterable[tuple[Figure, str | Path]]) -> None:
        with open_study(study_file) as reader, plt.rc_context(STYLE):
            for figure, svg in figures:
                if figure.kind == "target" and target:
                    canvas = target_figure(study, TargetAnswers.read(target))
                elif figure.subject == SCANNED:
                    canvas = OF_SCAN[figure.kind](study, evidence, figure)
                else:
                    canvas = OF_SUBJECT[figure.kind](Subject(study, reader, evidence, figure, before))
                pdf = Path(svg).with_suffix(".pdf")
                if study.config.figures.pdf:
                    _save(canvas, [svg, pdf])
                else:
                    pdf.unlink(missing_ok=True)
                    _save(canvas, [svg])
                log.info("drawn: %s", figure.stem)

    figures = zip(gallery(study), svgs, strict=True)
    longest_first = sorted(figures, key=lambda each: each[0].subject != SCANNED)  # which have a panel for each point
    by_processes(draw_and_save, longest_first, processes)


def _spreads(study: Study, alignment: str | Path) -> dict[str, ResidualSpread]:
    """The residuals before alignment, by the name of the coordinate, if these hits were aligned and not others."""
    found = AlignmentFile.read(alignment)
    if found.source_sha256 != study.digests.get("hits", ""):
        return {}
    return {each.name: ResidualSpread(each.median, each.width) for each in found.before.residuals}


def _save(canvas: Canvas, files: Iterable[str | Path]) -> None:
    """Lay a canvas out once, and write it to files, each in the format of its suffix."""
    with plt.rc_context({"figure.constrained_layout.use": False}):
        lay_out(canvas)
        for path in files:
            _write(canvas, path)
    plt.close(canvas)


def _write(canvas: Canvas, path: str | Path) -> None:
    kind = Path(path).suffix.removeprefix(".")
    metadata = METADATA[kind]
    if kind == "svg" and (parts := str(canvas.get_label()).split()):
        metadata = {**metadata, "Keywords": parts}
    # By way of memory: on a full disk, the writers of the files fail in obscure ways.
    image = io.BytesIO()
    canvas.savefig(image, format=kind, metadata=metadata)
    with whole(path) as part:
        part.write_bytes(image.getvalue())
