"""The tables on the data and the stated resolution."""

from __future__ import annotations

from collections.abc import Sequence

from ..hits.counts import in_words
from ..statistics.intervals import Verdict
from ..statistics.prefixes import LARGE, with_unit
from ..store.alignment_file import AlignmentFile
from ..study.plan import Study
from ..validation.estimates import Estimate
from ..validation.fit_evidence import FitEntry
from ..validation.fit_reasons import symbols_of
from .cells import Cell, Row, Table, judged, left, row, verdict
from .formats import count


def imported_table(imported: dict[str, int], others: Sequence[str] = ()) -> Table:
    """What became of the rows of the file of recorded hits; `others` are layers that are not used."""
    rows = [row(left(words), count(number)) for words, number in in_words(imported, others)]
    return Table([row(left("what was read"), "number")], rows)


def alignment_table(found: AlignmentFile) -> Table:
    """How the layers deviate from where they are stated to be."""
    rows = [
        row(left(each.name), with_unit(each.value, each.unit.strip("1"), each.se).rstrip()) for each in found.numbers
    ]
    return Table([row(left("deviation of a layer"), "value")], rows)


def data_verdicts(study: Study, fits: list[FitEntry]) -> Table:
    """The verdict on the data of each point."""
    heads = row(left("scan point"), left("verdict"), "muons", "χ²/ndf", "width", "median width", "p < 1e-4")
    rows = []
    for each in fits:
        chi2 = "–" if each.chi2_per_ndf is None else f"{each.chi2_per_ndf:.4g}"
        share = "–" if each.outliers is None else f"{100 * each.outliers.value:.3g} %"
        outliers = judged(each.outliers, share)
        numbers = count(each.muons), chi2, _judged(each.width), _with_error(each.median_width), outliers
        rows.append(row(left(study.words[each.point]), verdict(each.verdict), *numbers))
    return Table([heads], rows)


def data_table(study: Study, fit: FitEntry) -> Table:
    """Unbiased residuals of each coordinate, and the offset of its layer."""
    heads = row(
        *(left("coordinate"), "hits", "mean residual", "width", "mean pull", "width of pulls", "against position"),
        *("against the other view", "against slope", "against muon number", "offset of its layer"),
    )
    coordinates, rows = {each.name: each for each in study.model.coordinates}, []
    for each in fit.coordinates:
        unit, symbol = coordinates[each.name].unit, coordinates[each.name].symbol
        changes = each.against_position, each.against_other_view, each.against_slope, each.against_number
        lengths = _length(each.mean, unit), _length(each.sd, unit)
        numbers = map(_judged, (each.pull_mean, each.pull_sd, *changes))
        rows.append(row(left(symbol), count(each.hits), *lengths, *numbers, _length(each.offset, unit)))
    return Table([heads], rows)


def wanted_table(study: Study, fit: FitEntry) -> Table:
    """The resolution that the data want."""
    coordinates = {each.name: each for each in study.model.coordinates}
    heads = row(left("coordinates"), "stated σ", "the data want", "factor", left("how it is known"))
    rows: list[Row] = []
    for each in fit.resolution:
        how = "by itself, from the residuals of all layers of its line"
        if each.alone:
            how = "if it alone is wrong: a common factor explains the data much worse"
        elif len(each.coordinates) > 1:
            how = "one factor for all of them: these layers can't be told apart"
        unit, names = coordinates[each.coordinates[0]].unit, symbols_of(each.coordinates, coordinates)
        lengths = with_unit(each.stated, unit), _length(each.wanted, unit) if each.determined else ""
        widths = [(text and (text if each.alike else f"{text} (rms)")) or "not determined" for text in lengths]
        factor = _failed(each.factor) if each.determined else "–"
        rows.append(row(left(names), *widths, factor, left(how)))
    return Table([heads], rows)


def _with_error(number: Estimate | None) -> str:
    if number is None:
        return "–"
    form = ".3f" if abs(number.value) < LARGE else ".3g"
    return f"{number.value:{form}} ± {number.se or 0:{form}}"


def _length(number: Estimate | None, unit: str) -> str:
    return "–" if number is None else with_unit(number.value, unit, number.se or 0.0)


def _failed(number: Estimate) -> Cell:
    """A number with its error, which decides only if it fails."""
    return judged(number, _with_error(number), decides=number.verdict == Verdict.FAIL)


def _judged(number: Estimate | None) -> Cell:
    """A number with its error, marked by its verdict if it decides."""
    return judged(number, _with_error(number))
