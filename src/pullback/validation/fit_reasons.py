"""Why the data disagree with the stated resolution, and what they want, in words."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from ..models import Model, Quantity
from ..statistics.intervals import Verdict
from ..statistics.parts import of_all
from ..statistics.prefixes import LARGE, with_unit
from .estimates import Estimate
from .fit_evidence import FitEntry, WantedResolution
from .fit_heights import SeveralHeights
from .fit_mends import NEAR_A_POWER, angle_words, height_mend, shift_mend, units_to_check
from .fit_shapes import pitch_guess

WRONG_TRACKS = 0.005
"""Share of tracks beyond the core of the distribution that is called wrong tracks."""

CORE, CORE_IS_RIGHT = "is right", 0.1
"""What the median width is called where there are wrong tracks, and its largest deviation for that."""


MUCH_WIDER = 2.0
"""Ratio of the root of mean χ²/ndf to the median width above which a few tracks decide the former."""

MEND_FIRST = "; mend this first: only then is it known which resolution the data want"
"""Words on the width, where layers out of place hide the resolution."""

BOTH = ", or find both together by `pullback calibrate`"
"""What to do besides, for layers on lines."""

CHANCE = ": at {:.1f} standard errors, this may be chance"
"""Words on a number that is not known to be wrong."""

LEAVE_OUT = "leave them out by chi2 and ndf from `pullback export` (docs/recorded_data.md, Wrong tracks)"
"""What to do with wrong tracks."""

EXPLAINED_WIDTH = "; without these causes, the stated resolution is right"
"""Words on the width, where the data agree with the stated resolution."""

TOO_FEW_TO_TELL = 3
"""Layers of a line that have one residual in common, so that no layer can be named."""

OTHER_WAY = "as where muons fly upwards in z: the model takes them to scatter on their way from the largest z down"
"""Words on small changes with slope of tracks that are scattered."""

SMALL_CHANGE = 0.3
"""Largest change of a mean pull with slope that is of the size of those by a wrong direction of flight."""

CAUSES = {"against_position": ": its scale is wrong", "against_other_view": ": its layer is rotated"}
"""What makes residuals change with the position of the track."""


TRACK_SLOPE = "the slope of the track"
"""What residuals change with where a height is wrong."""


class Background(NamedTuple):
    """What is known of the tracks beside the evidence.

    The share of tracks beyond the core, the heights on the line of a coordinate by name, where several are wrong, and
    whether mean pulls follow from the mean slope of the tracks; and the standard errors from which a number is
    significant, among all that is judged.
    """

    wrong_tracks: float
    several: Mapping[str, SeveralHeights]
    steep: bool
    significant: float


class Cause(NamedTuple):
    """A cause other than the resolution: how far the worst number is off, in σ of the residuals, and the words."""

    off: float
    words: str


def fit_reasons(
    entry: FitEntry, model: Model, off: Sequence[WantedResolution], more: Background, *, aligned: bool
) -> Iterator[str]:
    """Why the verdict on a point is not a pass.

    `off` are the wanted resolutions that differ significantly from the stated ones, and `aligned` is whether the config
    has an alignment. A wrong resolution comes first, unless other causes explain the width of the residuals, or hide
    the resolution.
    """
    assert isinstance(entry.verdict, Verdict)  # otherwise there is nothing to test
    found = [*_of_dependences(entry, model, entry.verdict, more)]
    if not ((more.steep or more.several) and any(TRACK_SLOPE in each.words for each in found)):
        found += _of_shifts(entry, model, entry.verdict, more.significant, aligned=aligned)
    causes = [each.words for each in sorted(found, key=lambda each: -each.off)]
    if entry.outliers and entry.outliers.verdict == entry.verdict:
        outliers = [*_of_outliers(entry, entry.outliers, more.wrong_tracks)]
        causes = [*causes, *outliers] if entry.misplaced else [*outliers, *causes]
    first = [beyond_words(entry)] * (entry.beyond > 0)
    width = [*_of_width(entry, model, off)]
    failed = bool(width) and fails_in_width(entry)
    explained = failed and width[0].endswith((EXPLAINED_WIDTH, MEND_FIRST, BOTH))
    if entry.outliers and _by_few(entry):
        width = [] if explained and not causes else width
        told = entry.median_width and any(_median_words(entry.median_width) in each for each in width)
        few = _of_few(entry, entry.outliers, alone=not told)
        if causes:
            width.append(few)
        else:
            first.append(few)
    resolution_first = (
        failed
        and not explained
        and not entry.misplaced
        and not any(f"the median width {CORE}" in each for each in causes[:1])
    )
    yield from (*first, *width, *causes) if resolution_first else (*first, *causes, *width)


def fails_in_width(entry: FitEntry) -> bool:
    """Whether a width fails."""
    numbers = [entry.width, *(each.pull_sd for each in entry.coordinates), *(each.factor for each in entry.resolution)]
    return any(each and each.verdict == Verdict.FAIL for each in numbers)


def _of_width(entry: FitEntry, model: Model, off: Sequence[WantedResolution]) -> Iterator[str]:
    """The widths that are wrong, and the resolution that the data want."""
    widths = [each for each in entry.coordinates if each.pull_sd.verdict == Verdict.FAIL]
    coordinates, width = {each.name: each for each in model.coordinates}, entry.width
    if width and fails_in_width(entry):
        text = _width_words(entry, width)
        if width.verdict != Verdict.FAIL and widths:
            worst = max(widths, key=lambda each: abs(each.pull_sd.value - 1))
            text = (
                f"residuals of {coordinates[worst.name].symbol} are {interval(worst.pull_sd)} times as wide as stated"
            )
        elif width.verdict != Verdict.FAIL:
            text = "not all layers have the resolution that is stated"
        wanted, narrow = _wanted(entry, model, off), _too_narrow(entry)
        undetermined = not all(each.determined for each in entry.resolution)
        if (entry.hidden and wanted) or (entry.misplaced and undetermined):
            yield text + MEND_FIRST + BOTH * _found_by_alignment(entry, model)
        elif unit := units_to_check(width.value, "`source.unit` and the unit of detector.sigma"):
            same = wanted and all(abs(each.factor.value / width.value - 1) < NEAR_A_POWER for each in off)
            yield f"{text}{unit}" + (f"; else the data want {wanted}" if same else "")
        elif wanted:
            guess = "" if entry.scattering else pitch_guess(off)
            yield f"the data want {wanted}; {text}{guess}"
        elif narrow:
            yield f"{text}: {_stated_too_large(model)}"
        else:
            yield text + (_without_wanted(entry) if entry.resolution else "")
        return
    if width and width.verdict == Verdict.INCONCLUSIVE:
        yield f"√(χ²/ndf) = {interval(width)}"
    unsettled = [each for each in entry.coordinates if each.pull_sd.verdict == Verdict.INCONCLUSIVE]
    if unsettled:
        worst = max(unsettled, key=lambda each: abs(each.pull_sd.value - 1))
        yield f"width of the pulls of {coordinates[worst.name].symbol} = {interval(worst.pull_sd)}{_worst(unsettled)}"


def _found_by_alignment(entry: FitEntry, model: Model) -> bool:
    """Whether alignment may find what is out of place: no wrong height."""
    slopes = [each.against_slope for each in entry.coordinates if each.against_slope]
    return bool(model.lines) and not any(each.verdict == Verdict.FAIL for each in slopes)


def _wanted(entry: FitEntry, model: Model, off: Sequence[WantedResolution]) -> str:
    """What the data want: another resolution or, if that explains them better, other scattering in the layers."""
    scattering = entry.scattering
    if scattering and scattering.better:
        return angle_words(scattering, model)
    coordinates = {each.name: each for each in model.coordinates}
    words = "" if _too_narrow(entry) else ", ".join(wanted_words(each, coordinates) for each in off)
    if scattering and words:
        return f"{words}; or, as these residuals do not tell which, {angle_words(scattering, model)}"
    return angle_words(scattering, model) if scattering else words


def _too_narrow(entry: FitEntry) -> bool:
    """Whether residuals are narrower than stated, and no σ above 0 of each layer explains it."""
    narrow = bool(entry.width and entry.width.verdict == Verdict.FAIL and entry.width.value < 1)
    return narrow and not all(each.determined for each in entry.resolution)


def _stated_too_large(model: Model) -> str:
    """What may be stated too large where residuals are too narrow."""
    if model.covariance is None:
        return "the stated σ is too large"
    return "no σ explains this: the stated scattering in the layers, or the distances of layers, are too large"


def _width_words(entry: FitEntry, width: Estimate) -> str:
    """How wide residuals are: most of them first, where a few tracks decide the mean of χ²."""
    chi2 = f"χ²/ndf = {entry.chi2_per_ndf:.3g}"
    if entry.left_out and entry.median_width and width.value > MUCH_WIDER * entry.median_width.value:
        together = "" if _by_few(entry) else f", all together {width.value:.3g} times ({chi2})"
        return _median_words(entry.median_width) + together
    return f"residuals are {interval(width)} times as wide as stated ({chi2})"


def _median_words(width: Estimate) -> str:
    """How wide residuals of most tracks are."""
    value = with_unit(width.value, "", width.se or 0.0).rstrip()
    return f"residuals of most tracks are {value} times as wide as stated (by the median of χ²)"


def _without_wanted(entry: FitEntry) -> str:
    """What to say of the resolution, where none is wanted that differs significantly."""
    known = all(each.determined for each in entry.resolution)
    return EXPLAINED_WIDTH if known else "; the tracks do not determine which resolution they want"


def wanted_words(wanted: WantedResolution, coordinates: Mapping[str, Quantity]) -> str:
    """A wanted resolution: σ = 23.0 ± 0.1 µm in y (stated 14.4), or the factor of stated ones that differ."""
    names = symbols_of(wanted.coordinates, coordinates)
    if not wanted.wanted.value:
        return f"a σ in {names} that is too small to be seen"
    unit = coordinates[wanted.coordinates[0]].unit
    value, stated = with_unit(wanted.wanted.value, unit, wanted.wanted.se or 0.0), with_unit(wanted.stated, unit)
    text = f"σ = {value} in {names} (stated {stated})"
    if not wanted.alike:
        factor = with_unit(wanted.factor.value, "", wanted.factor.se or 0.0).rstrip()
        text = f"{factor} times the stated σ in {names}, {value} in the root mean square (stated {stated})"
    return f"{text}, if that alone is wrong" if wanted.alone else text


def _of_outliers(entry: FitEntry, outliers: Estimate, wrong_tracks: float) -> Iterator[str]:
    """The share of outliers, unless the width explains it."""
    share = f"{100 * outliers.value:.3g} % of tracks have p < 1e-4, where 0.01 % should"
    if outliers.verdict == Verdict.INCONCLUSIVE:
        yield f"{share}: {100 * outliers.low:.2g} % to {100 * outliers.high:.2g} %"
    elif wrong_tracks > WRONG_TRACKS and entry.median_width:
        width = entry.median_width.value
        right = CORE if abs(width - 1) <= CORE_IS_RIGHT else f"of tracks is {width:.3g} times the stated one"
        if entry.misplaced and right != CORE:
            return  # layers out of place make right tracks look wrong
        yield f"{share}: wrong tracks (outliers), since the median width {right}"
    elif not (entry.width and entry.width.verdict == Verdict.FAIL):
        yield share


def _by_few(entry: FitEntry) -> bool:
    """Whether a few tracks make χ² much larger than that of the others."""
    if not (entry.left_out and entry.width and entry.median_width and entry.outliers):
        return False
    few = entry.outliers.verdict == Verdict.PASS
    return few and entry.width.value > MUCH_WIDER * entry.median_width.value


def _of_few(entry: FitEntry, outliers: Estimate, *, alone: bool) -> str:
    """What to do with the few tracks that do not agree and, unless the width is told, that most tracks agree."""
    assert entry.median_width
    number = round(outliers.value * entry.muons)
    few = (
        f"{of_all(number, entry.muons, 'track')}, with p < 1e-4," if number > 1 else "a few tracks far from all others"
    )
    others = f"{_median_words(entry.median_width)}; " if alone else ""
    return f"{others}{few} make χ²/ndf = {entry.chi2_per_ndf:.3g}: {LEAVE_OUT}"


def beyond_words(entry: FitEntry) -> str:
    """How many muons have hits that are too far out for sums of squares, and what to do."""
    has = "1 muon has" if entry.beyond == 1 else f"{entry.beyond} muons have"
    return f"{has} hits too far out for squares in double precision, and no χ²: leave them out by source.select"


def _of_shifts(
    entry: FitEntry, model: Model, verdict: Verdict, significant: float, *, aligned: bool
) -> Iterator[Cause]:
    """The coordinates whose mean residual is off."""
    off = [each for each in entry.coordinates if each.pull_mean.verdict == verdict]
    if not off:
        return
    coordinates = {each.name: each for each in model.coordinates}
    worst = max(off, key=lambda each: abs(each.pull_mean.value))
    size = abs(worst.pull_mean.value)
    if verdict == Verdict.INCONCLUSIVE:
        pull = interval(worst.pull_mean, "+")
        chance = chance_of(worst.pull_mean, significant)
        yield Cause(size, f"mean pull of {coordinates[worst.name].symbol} = {pull}{_worst(off)}{chance}")
        return
    alone = {each.name: each.offset_alone for each in off if each.offset_alone}
    if alone:
        words = ", ".join(_too_far(coordinates[name], offset) for name, offset in alone.items())
        yield Cause(size, words + shift_mend(model, {name: each.value for name, each in alone.items()}, aligned))
    else:
        mend = "" if aligned or not model.lines else "; find where they are by `alignment: {}`"
        words = ", ".join(offsets_of(entry, coordinates))
        yield Cause(size, f"layers are shifted against each other: {words}{mend}")


def _too_far(of: Quantity, offset: Estimate) -> str:
    """How far, and where to, the hits of a coordinate are off, if it alone is."""
    shift, sign = with_unit(abs(offset.value), of.unit, offset.se or 0.0), "+" if offset.value > 0 else "−"
    return f"hits of {of.symbol or of.name} are {shift} too far along {sign}{of.name[0]}"


def offsets_of(entry: FitEntry, coordinates: Mapping[str, Quantity]) -> Iterator[str]:
    """The offset of each coordinate that has a significant one, the largest first."""
    known = [each for each in entry.coordinates if each.offset and abs(each.offset.value) > 5 * (each.offset.se or 0)]
    for each in sorted(known, key=lambda each: -abs(each.offset.value if each.offset else 0)):
        assert each.offset
        shift = with_unit(each.offset.value, coordinates[each.name].unit, each.offset.se or 0.0, "+")
        yield f"{coordinates[each.name].symbol} by {shift}"


def chance_of(number: Estimate, significant: float) -> str:
    """That a number that should be 0 may be so, unless it is significant."""
    off = abs(number.value) / number.se if number.se else math.inf
    return CHANCE.format(off) if off < significant else ""


def _of_dependences(entry: FitEntry, model: Model, verdict: Verdict, more: Background) -> Iterator[Cause]:
    """Residuals that change with slope, position or muon number; a cause is named of what is significant only."""
    several = more.several
    symbols = {each.name: each.symbol for each in model.coordinates}
    causes = {
        "against_slope": TRACK_SLOPE,
        "against_position": "the position of the track",
        "against_other_view": "the position of the track in the other view",
        "against_number": "the muon number",
        "drift": "the muon number",
    }
    for key, words in causes.items():
        numbers = {each.name: getattr(each, key) for each in entry.coordinates}
        off = {name: number for name, number in numbers.items() if number and number.verdict == verdict}
        if not off or _said_by_another(entry, key, verdict):
            continue
        name = _furthest_off(entry, off)
        text = f"residuals of {symbols[name]} change with {words}, by {interval(off[name], '+')} σ"
        text += " (root mean square)" if key == "drift" else " for one standard deviation of it"
        if verdict == Verdict.FAIL:
            height = f": {several[name].words}" if name in several else _of_height(entry, name, model)
            text += CAUSES.get(key, height if key == "against_slope" else "")
            yield Cause(abs(off[name].value), text + _other_way(key, off[name], model))
            continue
        chance = chance_of(off[name], more.significant)
        text += "" if chance else _other_way(key, off[name], model)
        yield Cause(abs(off[name].value), text + _worst([*off]) + chance)


def _other_way(key: str, number: Estimate, model: Model) -> str:
    """That a small change with slope is as where muons fly the other way, of a model with scattering."""
    small = key == "against_slope" and abs(number.value) < SMALL_CHANGE
    return f", {OTHER_WAY}" if small and model.covariance is not None else ""


def _furthest_off(entry: FitEntry, off: Mapping[str, Estimate]) -> str:
    """The coordinate with the largest deviation; of three layers, that whose layer must move least.

    A layer that is off by d changes the pulls of layer k by M_kj d / √M_kk, with M of `fit_estimates`: by the
    inequality of Cauchy and Schwarz those of no other layer as much as its own, √M_jj d. Standard errors say less: they
    grow with what is off. The residuals of three layers differ by a constant factor only.
    """
    found = max(off, key=lambda name: abs(off[name].value))
    together = next(each.fitted_with for each in entry.coordinates if each.name == found)
    moves = {each.name: abs(each.height.value) for each in entry.coordinates if each.height and each.name in together}
    alike = len(together) == TOO_FEW_TO_TELL and bool(moves) and moves.keys() <= off.keys()
    return min(moves, key=moves.__getitem__) if alike else found


def _of_height(entry: FitEntry, name: str, model: Model) -> str:
    """How much higher or lower than stated the layer of a coordinate is."""
    fit = next(each for each in entry.coordinates if each.name == name)
    if fit.height is None:
        return ""
    which = "its layer, or another of these three," if len(fit.fitted_with) == TOO_FEW_TO_TELL else "its layer"
    where = "higher" if fit.height.value > 0 else "lower"
    by = with_unit(abs(fit.height.value), "m", fit.height.se or 0.0)
    return f": {which} is {by} {where} than stated{height_mend(model, name, fit.height.value)}"


def _said_by_another(entry: FitEntry, key: str, verdict: Verdict) -> bool:
    """Whether a dependence only follows from another: a drift from a trend, or one on slope or position from another.

    A layer that is rotated, or too high, also changes the residuals of its neighbours.
    """
    if key == "drift":
        return any(each.against_number.verdict == verdict for each in entry.coordinates)
    others = [each for each in ("against_slope", "against_position", "against_other_view") if each != key]
    found = max(_significance(entry, each) for each in others)
    return key != "against_number" and verdict == Verdict.FAIL and 2 * _significance(entry, key) < found


def _significance(entry: FitEntry, key: str) -> float:
    """The largest significance of a dependence."""
    numbers = [getattr(each, key) for each in entry.coordinates]
    return max((abs(each.value) / each.se for each in numbers if each and each.se), default=0.0)


def _worst(found: Sequence[object]) -> str:
    return f", the worst of {len(found)} such numbers" if len(found) > 1 else ""


def symbols_of(names: Sequence[str], coordinates: Mapping[str, Quantity]) -> str:
    """Coordinates in words: `y₀–y₃`, or each of them."""
    symbols = [coordinates[name].symbol or name for name in names]
    numbers = [name[1:] for name in names]
    view = {name[0] for name in names}
    in_order = all(each.isdigit() for each in numbers) and len(view) == 1 and len(names) > 2
    if in_order and [int(each) for each in numbers] == [*range(int(numbers[0]), int(numbers[0]) + len(names))]:
        return f"{symbols[0]}–{symbols[-1]}"
    return ", ".join(symbols)


def interval(number: Estimate, sign: str = "") -> str:
    """A number with its confidence interval."""
    form = f"{sign}.3{'f' if max(abs(number.low), abs(number.high)) < LARGE else 'g'}"
    return f"{number.value:{form}} [{number.low:{form}}, {number.high:{form}}]"
