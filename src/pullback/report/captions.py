"""The captions of the figures, and what to look for in each."""

from __future__ import annotations

import re
from collections.abc import Collection
from pathlib import Path

from ..models import has_fit
from ..study.plan import Study
from ..validation.evidence import Evidence
from .gallery import CURVE, DETECTOR, SCANNED, WORST, Figure, independent, is_grid, over, point_of, varying
from .picture_captions import PICTURE_CAPTIONS, order_of

OTHERS_FIXED = "All other parameters are those of the scan point nearest the unscanned config."

OTHERS_VARY = "Of parameters that vary together, only the first is shown."

SCATTERED = (
    " Scattering in the layers, which the stated resolution does not include, widens this distribution: a width above "
    "1 is expected here."
)

CAPTIONS = PICTURE_CAPTIONS | {
    "target": (
        "The wanted mean σ",
        "Mean σ against the parameter that is varied, with all others fixed. The target is reached where a "
        "curve meets the dashed line; if it does so more than once, the value nearest the present one is marked. Of a "
        "scan, each point has its curve; where they are too many for labels, the first is dark and the last light.",
    ),
    "hits": (
        "True and recorded hits",
        "Left: recorded hits scatter about the line. Right: their residuals, in units of the stated resolution, should "
        "follow the unit Gaussian; a wider distribution means that the detector is worse than stated.",
    ),
    "hits_recorded": (
        "Recorded hits",
        "Positions of the hits on the layer. Look for gaps, edges and spikes that the muons cannot explain.",
    ),
    "value": (
        "{symbol} against {x}, with its uncertainty",
        "At most 60 hits, evenly spaced in {x}; hits far from all others are counted above the panel. Blue: the quoted "
        "68.27 % coverage interval (JCGM 101). Grey: ±1 σ by linear propagation. Right: hits within 6 σ of {x} = 0, "
        "the fold, where {symbol} turns from falling to rising; if there are none, the intervals of all hits minus "
        "{symbol}. Grey bars that reach below zero near the fold show that linear propagation fails there, as {symbol} "
        "cannot be negative.",
    ),
    "sigma": (
        "σ and the standard deviation of toys",
        "Above: quoted and linear σ (lines), and the standard deviation of the toys of each muon (squares). Below: "
        "that standard deviation over each σ; the band is the tolerance. The ratio to the quoted σ should be 1 "
        "everywhere. The ratio to the linear σ should be 1 right of the dotted line if there is one, else everywhere; "
        "left of it, too near the fold, the linear σ is not judged.",
    ),
    "validity": (
        "Where linear propagation is valid",
        "Left: share of the muons in each bin of {symbol}/σ for which linear propagation is valid (JCGM 101, clause "
        "8). Right, if there are any: quoted σ and bias of muons near the fold, in units of the linear σ. Where linear "
        "propagation is valid, the quoted σ is the linear one. Where the bias is not small, {symbol} is too large on "
        "average.",
    ),
    "ends": (
        "Interval ends",
        "Ends of the toys' 68.27 % and 95 % intervals minus those of the quoted coverage intervals (JCGM 101), in "
        "units of the half-width, in bins of {symbol}/σ. All should lie in the band, which is the tolerance. Right "
        "widths with wrong ends mean that the noise is not Gaussian, as propagation assumes.",
    ),
    "pulls": (
        "Pulls",
        "Pulls, (recorded − true)/linear σ, of the muons in the linear domain (filled) should follow the unit "
        "Gaussian. A narrower distribution means that σ is too large, a wider one that it is too small, and a shifted "
        "one that the inference is biased. Dashed: muons nearer the fold, if there are ten, normalized separately.",
    ),
    "coverage": (
        "Coverage",
        "Share of toys around true hits whose interval holds the truth, in bins of the true {symbol}/σ, with "
        "Clopper-Pearson intervals. Left: 68.27 %. Right: 95 %. The confidence intervals (diamonds) decide: they "
        "should lie in the band, which is the tolerance about the nominal coverage. ±1 σ and ±1.96 σ by linear "
        "propagation (circles) and the coverage intervals of JCGM 101 (crosses) are only shown: near the fold neither "
        "is meant to hold the truth as often as that. Where all agree on another coverage, the noise is not the one "
        "that is stated.",
    ),
    "hits_in_layers": (
        "True and recorded hits",
        "Residuals, recorded minus true, in units of the stated resolution. Those of all hits should follow the unit "
        "Gaussian. By coordinate: their median, and where 68.27 % and 95 % of them lie. Thick and thin bars should end "
        "at the dotted lines: a longer bar means that its layer is worse than stated, a shifted one that the layer is "
        "out of place.{shares}",
    ),
    "hits_recorded_in_layers": (
        "Recorded hits",
        "Positions of the hits in each coordinate: their median, and where 68.27 % and 95 % of them lie. Look for "
        "layers that disagree with their neighbours.{shares}",
    ),
    "value_of_any": (
        "Values",
        "Density of each observable at the recorded hits (filled) and at the true hits (dashed). Muons outside, about "
        "1 % and any that are far from the others, are counted above the panel. The bar is ±1 σ at the median of the "
        "muons: where it is not small against the width of the distribution, the recorded values spread wider than the "
        "true ones.",
    ),
    "value_recorded": (
        "Values",
        "Density of each observable at the recorded hits. Muons outside, about 1 % and any that are far from the "
        "others, are counted above the panel. The bar is ±1 σ at the median of the muons: where it is not small "
        "against the width of the distribution, the resolution widens what is seen.",
    ),
    "sigma_of_any": (
        "σ and the standard deviation of toys",
        "Above: quoted σ, and the standard deviation of toys, of muons that have toys.{missing} At most 80 muons of "
        "each colour are drawn, evenly chosen over the values. Below: that standard deviation over each σ, of all "
        "muons with toys; the band is the tolerance. Squares and black crosses should lie in the band, apart from the "
        "statistical error of the toys. Grey crosses: muons for which linear propagation is not used. Muons without a "
        "standard deviation are not shown.",
    ),
    "validity_of_any": (
        "Where linear propagation is valid",
        "First panel: share of all muons for which linear propagation is valid (JCGM 101, clause 8).{near_fold} Where "
        "linear propagation is valid, the quoted σ is the linear one.",
    ),
    "ends_of_any": (
        "Interval ends",
        "Ends of the toys' 68.27 % and 95 % intervals minus those of the quoted coverage intervals (JCGM 101), in "
        "units of the half-width, in bins of the distance from the fold.{together}{left_out} All should lie in the "
        "band, which is the tolerance. Right widths with wrong ends mean that the noise is not Gaussian, as "
        "propagation assumes.",
    ),
    "pulls_of_any": (
        "Pulls",
        "Pulls, (recorded − true)/linear σ, of the muons in the linear domain (filled) should follow the unit Gaussian "
        "(black line). A narrower distribution means that σ is too large, a wider one that it is too small, and a "
        "shifted one that the inference is biased. Dashed: muons nearer the fold, if there are ten, normalized "
        "separately.",
    ),
    "coverage_of_any": (
        "Coverage",
        "Share of toys around true hits whose interval holds the truth, in bins of the true distance from the fold, "
        "with Clopper-Pearson intervals.{together}{left_out} Blue: 68.27 %. Red: 95 %. The confidence intervals "
        "(diamonds) decide: they should lie in their band, which is the tolerance about the nominal coverage, or above"
        " it for azimuths and other observables without an exact interval. ±1 σ and ±1.96 σ by linear propagation "
        "(circles) and the coverage intervals of JCGM 101 (crosses) are only shown: near a fold neither is meant to "
        "hold the truth as often as that. Where all agree on another coverage, the noise is not the one that is "
        "stated.",
    ),
    "residuals": (
        "Residuals of the fits",
        "Each hit minus the prediction of the fit without this hit, over its σ by propagation. First: all hits, which "
        "should follow the unit Gaussian. Second: p-values of χ², which should be uniform; a peak at 0 means wrong "
        "tracks, a slope a wrong resolution.{means}",
    ),
    "trends": (
        "Residuals against position and slope",
        "Mean of residual over its σ, in twelve bins with the same number of hits, against the position and the slope "
        "of the track.{profiles}",
    ),
    "budget": (
        "Uncertainty budget",
        "Share of each source in the variance, averaged over the muons. Shares add up to 1. Correlations are a source "
        "of their own, drawn left of 0 where they reduce the variance.",
    ),
    "budget_scan": (
        "Uncertainty budget over the scan",
        "Share of each source in the mean variance at each scan point. Shares add up to 1; correlations that reduce "
        "the variance are drawn below 0. A finer resolution helps where the layers dominate.",
    ),
    "systematics": (
        "Pseudo-experiments",
        "In each pseudo-experiment all muons are recorded anew, with one shift of the systematic parameters for all "
        "of them. Left: the mean pull varies between pseudo-experiments as the black line predicts, more than it would "
        "without systematics (dashed; its peak may be cut off). Right: the width of the pulls within a "
        "pseudo-experiment. It is about 1 (grey line) where a shift moves all muons alike, so that no single "
        "pseudo-experiment reveals its own shift, and larger where it moves some muons more than others, such as those "
        "without a hit in a layer. Dotted: the expected width.",
    ),
    "scan": (
        "Scan",
        "Columns of summary.csv against the scanned parameter{lines}. Grey bands are the tolerances about the expected "
        "values (black lines): the standard deviation of toys over σ, and the sd of pulls, should be 1, the mean pull "
        "0, and the coverage of the confidence intervals, in their worst bin, 0.683 and 0.95{exact}. Bars are 95 % "
        "intervals. Statistics without an expected value that change by less than 0.1 % over the scan are not drawn.",
    ),
}

OF_DRAWN = {
    "means": " Below: mean and width by coordinate; the bands are the tolerances. A mean off 0 means a layer out of "
    "place, which moves the means of its neighbours too; a width above 1 means a detector that is worse than stated.",
    "profiles": " The horizontal axis is the share of tracks with a smaller position or slope. The band is the "
    "tolerance. A line that rises with the slope means that the layer is higher than stated; one that rises with the "
    "position, a wrong scale.",
    "missing": " Muons with layers without a hit have a larger σ: they form bands of their own, in other colours.",
    "near_fold": " Other panels, for each observable with a fold and at least ten muons near it, against the distance "
    "from it: that share (grey; of simulated muons, in bins of the distance at the true hit), and quoted σ and bias of "
    "each muon, at its recorded hit, in units of the linear σ.",
    "together": " Observables with one bin share a panel: those without a fold, and those whose muons with toys are "
    "all in one bin.",
    "left_out": " Empty bins at either end are not drawn; their number is above the panel.",
    "shares": " Share of muons with a hit: by coordinate, of all muons.",
}
"""What captions say only of figures with these parts, which a figure notes by `figures.noted.note_drawn`."""

NOTED = re.compile(r"<rdf:li>(\w+)</rdf:li>")
"""A part in the metadata of an SVG."""

BY_VALUE = (
    ", with a line for each value of the second (at most six values); lines are shifted sideways where they coincide"
)

NOT_EXACT = "; a coverage above that is right for observables without an exact interval"

EACH_ALONE = "The mean σ is drawn against each further parameter too."


def parts_of(svg: str | Path) -> set[str]:
    """The parts that a figure has, of those that not all figures of its kind have."""
    return {*NOTED.findall(Path(svg).read_text(encoding="utf-8"))} & {*OF_DRAWN}


def words(figure: Figure, study: Study, evidence: Evidence, drawn: Collection[str] = frozenset()) -> tuple[str, str]:
    """The title and the caption of a figure with the parts that are drawn."""
    title, caption = CAPTIONS[_caption(figure, study)]
    if figure.subject == CURVE and study.config.target:
        return f"{title}: {study.config.target.vary}", caption
    if figure.subject == SCANNED:
        names = over(study)[: 1 if figure.kind == "budget" else None]
        several = len(study.model.observables) > 1
        caption = caption.format(lines=BY_VALUE if len(names) > 1 else "", exact=NOT_EXACT if several else "")
        free = independent(study) if is_grid(study) else names
        caption += f" {OTHERS_FIXED}" * (len(names) < len(free)) + f" {OTHERS_VARY}" * (len(free) < len(varying(study)))
        caption += f" {EACH_ALONE}" * (1 < len(names) < len(free))
        return f"{title}: {' and '.join(names)}", caption
    observable = next(each for each in study.model.observables if figure.observable in ("", each.name))
    title, caption = (
        text.format(
            symbol=observable.symbol,
            x=study.model.coordinates[0].symbol,
            order=order_of(study).words,
            **{name: sentence if name in drawn else "" for name, sentence in OF_DRAWN.items()},
        )
        for text in (title, caption)
    )
    if figure.kind == "hits" and study.model.covariance is not None and not study.recorded:
        caption += SCATTERED
    if len(study.points) == 1:
        return title, caption
    which = "worst scan point: " if figure.subject == WORST else ""
    return f"{title} ({which}{study.words[point_of(figure, study, evidence)]})", caption


def _caption(figure: Figure, study: Study) -> str:
    """The key of a figure's title and caption."""
    one_hit = study.config.model.name == "one_hit"
    if figure.kind == DETECTOR:
        return "detector_of_one_hit" if one_hit else "detector"
    if figure.kind == "hits" and study.recorded:
        return "hits_recorded" if one_hit else "hits_recorded_in_layers"
    if figure.kind == "hits":
        return "hits" if one_hit else "hits_in_layers"
    if figure.kind == "value" and study.recorded and not one_hit:
        return "value_recorded"
    if figure.kind == "in_time" and not study.model.fitted:
        return "in_time_of_chi2" if has_fit(study.model) else "in_time_of_hits"
    if figure.subject == SCANNED:
        return "budget_scan" if figure.kind == "budget" else "scan"
    own = f"{figure.kind}_of_any"
    return own if own in CAPTIONS and not one_hit else figure.kind
