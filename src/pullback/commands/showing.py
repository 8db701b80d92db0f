"""The results of a study in a terminal: the answer, the verdict, and where to read on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from ..errors import ArtefactError, PullbackError
from ..report.answer import IN_SENTENCES, Knowledge, how_well_known, over_scan
from ..report.formats import LINE, count, percent
from ..report.import_wording import loss_warning
from ..report.target_wording import target_sentences
from ..statistics.intervals import Verdict
from ..store.artefact import Maker
from ..store.study_file import open_study
from ..store.target_file import TargetAnswers
from ..validation.answers import QUESTIONS
from ..validation.evidence import Evidence
from ..validation.sentences import what_would_decide
from ..version import version

VERDICT_STYLES = {"pass": "bold blue", "fail": "bold red", "inconclusive": "bold yellow"}
"""Of the verdicts."""


def show(results: str | Path, console: Console) -> None:
    """Print the answer of a study, its verdict, and the summary of its points.

    Raises
    ------
    PullbackError
        The folder holds no finished study, one of its files is damaged, or another version has written what this one
        can't read.

    """
    for each in _parts_of(results):
        for line in _lines(each, console) if isinstance(each, Text) else [each]:
            console.print(line, soft_wrap=isinstance(each, Text))


def _lines(text: Text, console: Console) -> Iterator[Text]:
    """A text in lines that are not too long to read; all except the first are set in by two more spaces."""
    inset = len(text.plain) - len(text.plain.lstrip())
    width = min(console.width, LINE) - 2 - inset
    first, *others = [text] if text.no_wrap else text.wrap(console, width) or [text]
    first.rstrip()
    yield first
    for line in others:
        line.rstrip()
        yield Text.assemble(" " * (inset + 2), line)


def _parts_of(results: str | Path) -> Iterator[RenderableType]:
    """What `show` prints, part by part."""
    folder = Path(results)
    folder = folder.parent if folder.is_file() else folder
    if not (folder / "validation.json").is_file():
        raise PullbackError(f"{folder}: holds no finished study")
    with open_study(folder / "study.h5", any_version=True) as study:
        maker = study.maker
        evidence = _evidence(folder, maker)
        found = how_well_known(study, evidence, {})
    few = len(found) <= IN_SENTENCES
    yield from map(Text, (f"{_where(each, evidence)}{each.sentence}" for each in found) if few else over_scan(found))
    yield from map(Text, _of_target(folder, found))
    if warning := loss_warning(evidence.imported, evidence.separating):
        yield Text("")
        yield Text.assemble(("Warning: ", "bold yellow"), warning)
    yield Text("")
    yield Text.assemble("Verdict: ", (evidence.verdict, VERDICT_STYLES[evidence.verdict]))
    for name, answer in evidence.answers.each.items():
        sentence = f" {answer.sentence}" * isinstance(
            answer.verdict, Verdict
        )  # else the verdict says why there is none
        yield Text.assemble(
            f"  {QUESTIONS[name]} ", (answer.verdict, VERDICT_STYLES.get(answer.verdict, "")), f".{sentence}"
        )
    yield Text("")
    if advice := what_would_decide(evidence):
        yield from (Text(advice), Text(""))
    yield _table(found)
    if not maker.same_code:
        yield Text(f"Made by {maker}; this is {version()}, with other code, so that a new run may give other numbers.")
    yield Text(f"Report: {folder / 'report.html'}", no_wrap=True)


def _evidence(folder: Path, maker: Maker) -> Evidence:
    try:
        return Evidence.read(folder / "validation.json")
    except ArtefactError:
        if maker.same_code:
            raise
        raise PullbackError(
            f"{folder}: was made by {maker}, and this is {version()}, which can't read its validation.json; show it by "
            "that version, or run it again"
        ) from None


def _where(answer: Knowledge, evidence: Evidence) -> str:
    several = len({entry.point for entry in evidence.points}) > 1
    return f"{answer.point}: " if several else ""


def _of_target(folder: Path, found: list[Knowledge]) -> Iterator[str]:
    """The sentences on the target, if the study has one."""
    if (file := folder / "target.json").is_file():
        target = TargetAnswers.read(file)
        of = next(each for each in found if each.entry.observable == target.observable)
        yield from (text.striptags() for text in target_sentences(target, of.symbol, of.unit))


def _table(found: list[Knowledge]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="")
    for name in ("point", "observable", "muons with σ", "mean σ", "68 % of muons", "linear valid", "verdict"):
        table.add_column(name, overflow="fold")
    for each in found:
        entry = each.entry
        verdict = Text(each.verdict, VERDICT_STYLES[each.verdict])
        table.add_row(
            Text(each.point),
            Text(entry.observable),
            count(each.muons),
            each.cell,
            each.range,
            percent(entry.linear_valid),
            verdict,
        )
    return table
