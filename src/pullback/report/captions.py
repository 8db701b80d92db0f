"""What to look for in each figure."""

from __future__ import annotations

from ..store.evidence_file import Evidence
from ..study.plan import Study
from .gallery import CURVE, SCANNED, WORST, Figure, is_grid, over, point_of, varying

OTHERS_FIXED = "The other parameters are as at the point nearest the config without its scan."


OTHERS_VARY = "The parameters vary together, and only the first is shown."


SCATTERED = " Muons are scattered in the layers too, which the resolution alone does not say: wider is right here."


CAPTIONS = {
    "target": (
        "The wanted σ",
        "Mean linear σ of the muons over one number of the detector or the model, all others fixed. Where a curve "
        "meets the dashed line, the wanted mean σ is reached; of several such places the one nearest to the present "
        "value is marked.",
    ),
    "hits": (
        "True against recorded hits",
        "Left: recorded hits should scatter about the line. Right: their distance from the truth, in units of the "
        "stated resolution, should follow the unit Gaussian; if it is wider, the detector is worse than stated.",
    ),
    "hits_recorded": (
        "Recorded hits",
        "Where the hits lie on the layer. Look for gaps, edges and spikes that the muons can't explain.",
    ),
    "value": (
        "{symbol} against {x} with its uncertainty",
        "At most 60 hits, evenly spread over {x}, with the 68.27 % interval that is quoted, and in grey ±1 σ by the "
        "linear law; on the right, if there are any, those within 6 σ of the fold at {x} = 0. Where grey bars reach "
        "below zero, which {symbol} can't, the linear law can't be right.",
    ),
    "sigma": (
        "σ and spread of toys",
        "Lines are the quoted and the linear σ, each square is the standard deviation of the toys around one muon; "
        "the panels below show its ratio to both, with the tolerance shaded. To the quoted σ the ratio should be 1 "
        "everywhere; to the linear one where the law is claimed: everywhere, or right of the dotted line if there "
        "is one. Left of it the law does not know of the fold.",
    ),
    "law": (
        "Where the linear law holds",
        "Left: of the muons in each bin of {symbol}/σ, those for which the linear law holds (JCGM 101, clause 8). "
        "Right: quoted σ and bias over the linear σ, of muons near the fold. Where the law holds, the quoted σ is "
        "the linear one; where the bias is not small against σ, {symbol} itself is too large on the average.",
    ),
    "ends": (
        "Ends of the intervals",
        "How far the ends of the intervals that hold 68.27 % and 95 % of the toys are from those that are quoted, "
        "over half of the width of the interval, in bins of {symbol}/σ, with the tolerance shaded. All should lie in "
        "the band. Right widths with wrong ends mean that the noise has another shape than the Gaussian that "
        "propagation assumes.",
    ),
    "pulls": (
        "Pulls",
        "(recorded − true) / linear σ of the muons in the linear domain (filled) should follow the unit Gaussian. "
        "Narrower means that σ is overstated, wider that it is understated, shifted that the inference is biased. "
        "Dashed: the muons nearer to the fold, as a density of their own.",
    ),
    "coverage": (
        "Long-run success",
        "How often an interval holds the truth, in bins of true {symbol}/σ, with Clopper-Pearson intervals: left ±1 "
        "σ and ±1.96 σ by the linear law, right the 68.27 % and 95 % intervals that are quoted. In the linear "
        "domain they should hold the dashed lines, but for one in twenty or so. Right widths with wrong success "
        "mean that the noise is not Gaussian. Near the fold, success depends on how far the truth is from it, and "
        "can be far from what the interval says even where σ is the right standard deviation.",
    ),
    "hits_in_layers": (
        "True against recorded hits",
        "Left: the distance of recorded hits from the truth, in units of the stated resolution, should follow the unit "
        "Gaussian. Middle: the same for each coordinate; thick and thin bars should reach from dotted line to dotted "
        "line. If one is longer, its layer is worse than stated; if it is shifted, it is out of place. Right: how many "
        "muons have a hit there.",
    ),
    "hits_recorded_in_layers": (
        "Recorded hits",
        "Left: where the hits lie in each coordinate. Look for layers that don't go with their neighbours. Right: how "
        "many muons have a hit there.",
    ),
    "value_of_any": (
        "Values",
        "Density of each observable at the recorded hits (filled) and at the true ones (dashed), less the furthest "
        "1 % of muons. Where ±1 σ, which the bar shows at the median of the muons, is not small against the width, "
        "the recorded values are spread wider than the true ones.",
    ),
    "sigma_of_any": (
        "σ and spread of toys",
        "Above: the quoted σ and the standard deviation of toys around some muons. Below: their ratio, with the "
        "tolerance shaded. Squares should lie in the band everywhere, but for the noise of the toys, and black "
        "crosses too. Grey crosses are muons for which the linear law is not claimed. Muons without a standard "
        "deviation are left out.",
    ),
    "law_of_any": (
        "Where the linear law holds",
        "First: of all muons, those for which the linear law holds (JCGM 101, clause 8). Then, for each observable "
        "that has a fold, over the distance from it at the recorded hits: the share of these muons (grey), and quoted "
        "σ and bias over the linear σ of each muon. Where the law holds, the quoted σ is the linear one.",
    ),
    "ends_of_any": (
        "Ends of the intervals",
        "How far the ends of the intervals that hold 68.27 % and 95 % of the toys are from those that are quoted, "
        "over half of the width of the interval, in bins of the distance from the fold, with the tolerance shaded; "
        "observables without a fold have a bin each. All should lie in the band. Right widths with wrong ends mean "
        "that the noise has another shape than the Gaussian that propagation assumes.",
    ),
    "pulls_of_any": (
        "Pulls",
        "(recorded − true) / linear σ of the muons in the linear domain (filled) should follow the unit Gaussian, the "
        "black line. Narrower means that σ is overstated, wider that it is understated, shifted that the inference is "
        "biased. Dashed: the muons nearer to the fold, as a density of their own.",
    ),
    "coverage_of_any": (
        "Long-run success",
        "How often an interval holds the truth, in bins of the true distance from the fold, with Clopper-Pearson "
        "intervals: open, ±1 σ and ±1.96 σ by the linear law, filled, the quoted intervals. Outside of the grey, where "
        "the linear law is not claimed, they should hold the dashed lines, but for one in twenty or so. Right widths "
        "with wrong success mean that the noise is not Gaussian.",
    ),
    "budget": (
        "Uncertainty budget",
        "The share that each source has in the variance, as a mean over the muons. Shares add up to 1; correlations "
        "have one of their own, which is drawn left of 0 where they make the variance smaller.",
    ),
    "budget_scan": (
        "The uncertainty budget over the scan",
        "The share that each source has in the mean variance at each point. Shares add up to 1; those of correlations "
        "that make the variance smaller are drawn below 0. A finer resolution pays where the layers have most of it.",
    ),
    "systematics": (
        "Toy experiments",
        "In each experiment all muons are recorded anew, with the systematics shifted for all alike. Left: the mean of "
        "the pulls moves from experiment to experiment as the black line says, by much more than what is left without "
        "systematics (dashed; its peak may be beyond the panel). Right: within an experiment the pulls stay as wide as "
        "ever, so that no single experiment can tell that it is shifted. The expected width is a little more than 1 "
        "where the systematics move some muons more than others.",
    ),
    "scan_of_several": (
        "The scan",
        "Columns of summary.csv. Closure of the quoted σ over all muons and pull sd in the linear domain should be 1, "
        "to within the tolerance (the range of the colours, or the band).",
    ),
    "scan": (
        "The scan",
        "Columns of summary.csv, for muons in the linear domain, but where all are named. Closure, pull sd and pull "
        "RMS should be 1, and coverage 0.683 and 0.95, to within the tolerance (the range of the colours, or the "
        "band); the pull mean 0; the scatter not far below 1. A trend shows where the law will fail.",
    ),
}


def words(figure: Figure, study: Study, evidence: Evidence) -> tuple[str, str]:
    """The title of a figure, and the caption that says what to look for."""
    title, caption = CAPTIONS[_caption(figure, study)]
    if figure.subject == CURVE:
        return f"{title}: {study.config.target.vary}", caption
    if figure.subject == SCANNED:
        names = over(study)[: 1 if figure.kind == "budget" else None]
        if len(names) < len(varying(study)):
            caption += " " + (OTHERS_FIXED if is_grid(study) else OTHERS_VARY)
        return f"{title}: {' and '.join(names)}", caption
    observable = next(each for each in study.model.observables if figure.observable in ("", each.name))
    title, caption = (
        text.format(symbol=observable.symbol, x=study.model.coordinates[0].symbol) for text in (title, caption)
    )
    if figure.kind == "hits" and study.model.covariance is not None and not study.recorded:
        caption += SCATTERED
    if len(study.points) == 1:
        return title, caption
    which = "furthest from 1 of all points: " if figure.subject == WORST else ""
    return f"{title} ({which}{point_of(figure, study, evidence)})", caption


def _caption(figure: Figure, study: Study) -> str:
    """The key of a figure's title and caption."""
    one_hit = study.config.model.name == "one_hit"
    if figure.kind == "hits" and study.recorded:
        return "hits_recorded" if one_hit else "hits_recorded_in_layers"
    if figure.kind == "hits":
        return "hits" if one_hit else "hits_in_layers"
    if figure.subject == SCANNED:
        several = len(study.model.observables) > 1
        return "budget_scan" if figure.kind == "budget" else "scan_of_several" if several else "scan"
    own = f"{figure.kind}_of_any"
    return own if own in CAPTIONS and not one_hit else figure.kind
