"""What a study will do, and what it takes, before it is run."""

from __future__ import annotations

from textwrap import TextWrapper
from typing import Any, NamedTuple

from markupsafe import Markup

from ..config.dotted_names import unit_of
from ..config.schema import TARGET_MUONS
from ..models import has_fit
from ..report.formats import LINE, count, plural
from ..report.gallery import gallery
from ..report.import_wording import left_out, loss_warning
from ..report.setup_wording import PlanWording
from ..statistics.prefixes import suited
from ..store.alignment_file import kept_alignment
from ..study import shared_parameters
from ..study.aligning import expected, is_aligned
from ..study.plan import Study
from ..study.work import TOY_SECONDS, cost, rates_of
from ..validation.fit_estimates import FitEstimates
from .notes import notes_on
from .trial import ReadFile, read_file_of, try_few

START_UP = 7
"""Seconds of a core that a study takes whatever its size: Snakemake, Python and torch in its jobs, the report."""

FIGURE, PANEL = 0.3, 0.07
"""Seconds of a core for each figure, and for each observable in it."""

FURTHER_POINT = 0.25
"""Seconds of a core for each further scan point: its tables, files and entries of the verdict."""


VALUES_IN_SEARCH = 13
"""Values of a number that are tried in the search for a target within a factor of 3; up to 60 where none reaches it."""

SLOW_VALUE = 1.2
"""Seconds of a core for each of them beside its muons, where models are slow to quote: for σ beyond the present one.

2 000 muons of `scatter` with a σ of 53 mm took 20 s to reach 20 mm, and 46 s to reach 80 mm.
"""

IMPORTED, ALIGNED = 1.2e-6, 4.3e-6
"""Seconds of a core for each coordinate of a muon that is read from a list of hits, and of one that aligns layers.

The slopes between the CPU times of 20 000 and of 123 000 muons on five layers in two views.
"""

JOB = 4
"""Seconds of a core that each further batch takes to start its jobs."""

PAGE = 2e6
"""Bytes of figures, tables and report: 1 MB for ten recorded muons, 4 MB for the default scan."""

SIZE_UNITS = ((1e12, "TB"), (1e9, "GB"), (1e6, "MB"))
"""Units of the sizes of files, B."""


MOST_VALUES = 8
"""Values of a scanned parameter that are listed."""


class Outlook(NamedTuple):
    """What a study will do."""

    study: Study
    seconds: float
    size: float
    read: ReadFile = ReadFile()
    """What was read of a file of hits."""
    fits: FitEstimates | None = None
    """What the fits of the first muons say."""

    def __str__(self) -> str:
        study, muons = self.study, sum(self.study.muons.values())
        points, batches = len(study.points), len(study.batches)
        toys = study.config.toys
        each = f"{count(toys.per_muon)}" if toys.mode == "fixed" else f"up to {count(toys.most)}"
        around = min(toys.muons, *study.muons.values())
        words = PlanWording(study)
        rows = {
            "study": f"{study.config.study}, to results/{study.config.study}/",
            "note": ". ".join(notes_on(study, self.read.hits, self.fits)).replace("?. ", "? "),
            **{name: Markup(text).striptags() for name, text in words.plan().items() if text},
            "observables": ", ".join(each.name for each in study.model.observables),
            "file": self._file(),
            "warning": loss_warning(self._imported, study.reading.separating),
            "scan": f"{plural(points, 'point')}: {_scanned(study)}" if study.points[0].values else "",
            "muons": f"{count(muons)} in all points" if points > 1 else "",
            "toys": f"{each} around the hits of {_each_of(around)}" + " at each point" * (points > 1),
            **words.shared(),
            "batches": f"{count(batches)}; each can run on a core of its own" if batches > 1 else "",
            "time": f"about {duration(self.seconds)} on one core",
            "space": f"about {file_size(self.size)} on disk",
        }
        width = max(map(len, rows))
        lines = TextWrapper(LINE, subsequent_indent=" " * (width + 2), break_long_words=False, break_on_hyphens=False)
        return "\n".join(lines.fill(f"{name:{width}}  {text}") for name, text in rows.items() if text)

    @property
    def _imported(self) -> dict[str, int]:
        return self.study.imported.plain() if self.study.imported else {}

    def _file(self) -> str:
        """How much of the file was read, and how many of its hits are left out."""
        return "; ".join(filter(None, (self.read.words, left_out(self._imported))))


def _each_of(muons: int) -> str:
    return f"each of {count(muons)} muons" if muons > 1 else "the muon"


def _scanned(study: Study) -> str:
    """The scanned parameters with their values, or with the smallest and the largest of many."""
    words = []
    for name in study.points[0].values:
        values = list(dict.fromkeys(point.values[name] for point in study.points))
        unit = unit_of(name, study.config)
        if len(values) > MOST_VALUES:
            words.append(
                f"{len(values)} values of {name} from {suited(min(values), unit)} to {suited(max(values), unit)}"
            )
        else:
            words.append(f"{name} = {suited(values, unit)}")
    return "; ".join(words)


def outlook(raw: Any) -> Outlook:
    """What a study will do, from its raw config.

    Raises
    ------
    ConfigError, HitsError, ModelError
        The config, or a file that it names, can't be used.

    """
    study = Study.from_config(raw)
    kept_alignment(study)  # for its refusals, which are those of a run
    read = read_file_of(study)
    fits = try_few(study)
    return Outlook(study, seconds_of(study), PAGE + sum(study.muons.values()) * bytes_per_muon(study), read, fits)


def seconds_of(study: Study) -> float:
    """Time that a study takes on one core, s."""
    figures = len(gallery(expected(study))) * (FIGURE + PANEL * len(study.model.observables))
    started = START_UP + JOB * (len(study.batches) - 1) + FURTHER_POINT * (len(study.points) - 1) + figures
    read = IMPORTED * len(study.model.coordinates) * max(study.muons.values()) if study.recorded else 0.0
    parts = [part for batch in study.batches.values() for part in batch.parts]
    return started + read + _aligning(study) + TOY_SECONDS * sum(map(cost, parts)) + _searching(study)


def _searching(study: Study) -> float:
    """Time that the search for a target takes, s: once for all points that differ in the varied number alone."""
    target = study.config.target
    if target is None:
        return 0.0
    parts = {part.label: part for batch in study.batches.values() for part in batch.parts}
    searched = {
        tuple(value for name, value in part.values.items() if name != target.vary): part for part in parts.values()
    }
    muons = TOY_SECONDS * sum(rates_of(part.model).muon * min(TARGET_MUONS, part.muons) for part in searched.values())
    beyond = SLOW_VALUE * len(searched) * study.model.slow
    return VALUES_IN_SEARCH * (len(study.model.coordinates) * muons + beyond)


def _aligning(study: Study) -> float:
    """Time that the alignment of the layers takes, s; a kept one takes none."""
    alignment = study.config.alignment
    if alignment is None or alignment.file or not is_aligned(study):
        return 0.0
    return ALIGNED * len(study.model.coordinates) * min(alignment.tracks, *study.muons.values())


def bytes_per_muon(study: Study) -> float:
    """Bytes of a muon in all artefacts, without what its own file adds, such as covariances and kept columns."""
    hits, observables, recorded = len(study.model.coordinates), len(study.model.observables), study.recorded
    sources = len(shared_parameters.sources_of(study.first_part(study.points[0].label)[0]))
    parameters = sum(name != "correlations" for name in study.config.systematics)
    per_observable = (106 if recorded else 130) - 36 * (study.config.compute.storage == "compact")
    per_observable += 8 * (observables + parameters) * (observables > 1)
    per_observable += 8 * sources * (sources > 1)
    return 8 * hits * (2 - recorded) + (16 * hits + 24) * has_fit(study.model) + observables * per_observable


def duration(seconds: float) -> str:
    """A time in the unit that suits it.

    >>> duration(42), duration(400), duration(9000)
    ('42 s', '7 min', '2.5 h')

    """
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 90 * 60 else f"{seconds / 3600:.1f} h"


def file_size(size: float) -> str:
    """A number of bytes in the unit that suits it.

    >>> file_size(512), file_size(15e6), file_size(2.5e12)
    ('0.5 kB', '15 MB', '2.5 TB')

    """
    factor, unit = next(((each, unit) for each, unit in SIZE_UNITS if size >= each), (1e3, "kB"))
    return f"{size / factor:.{int(size < 10 * factor)}f} {unit}"
