"""Columns of the artefacts: names, descriptions and dimensions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import h5py
import numpy as np

from ..hits.reading import kept_name
from ..models import Quantity
from ..study.artefact_configs import ArtefactConfig
from ..study.batches import Part
from .artefact import Column, Writer
from .netcdf import Dims

FLAGS = {
    "hit_not_finite": 1,
    "value_not_finite": 2,
    "sigma_zero_or_nan": 4,
    "sigma_negative": 8,
    "no_standard_deviation": 16,
    "no_confidence_interval": 32,
}
"""Bits of the column `flag`."""

FLAG_WORDS = {
    "hit_not_finite": "too few finite hits: there is no result",
    "value_not_finite": "the value is not finite: there is no result",
    "sigma_zero_or_nan": "σ is 0 or not finite, and must not be used",
    "sigma_negative": "σ is negative, and must not be used",
    "no_standard_deviation": "the tails are too heavy for a standard deviation: σ is NaN, intervals can be used",
    "no_confidence_interval": "an end of a confidence interval is not finite: σ can be used if no other bit is set",
}
"""What the bits of the column `flag` say."""

FLAG_COMMENT = "; ".join(f"{bit} ({name}): {FLAG_WORDS[name]}" for name, bit in FLAGS.items())

FLAG_ATTRIBUTES = {
    "flag_masks": np.array(list(FLAGS.values()), "u1"),
    "flag_meanings": " ".join(FLAGS),
    "comment": FLAG_COMMENT,
}

COVARIANCE = "x_covariance"
"""The column of recorded covariances of hits."""

MOMENTUM = "momentum"
"""The column of momenta, of muons that the layers scatter by them."""


HEIGHTS = "hit_z"
"""The column of recorded heights of hits."""


class ColumnSpec(NamedTuple):
    """A column that each observable has: its name, description, second axis, type and unit.

    `{name}`, `{long_name}` and `{unit}` stand for those of the observable.
    """

    name: str
    words: str
    along: str = ""
    dtype: str = "f8"
    unit: str = "{unit}"

    def of(self, observable: str) -> str:
        """The name of the column of an observable."""
        return self.name.format(name=observable)


ColumnSpecs = Mapping[str, ColumnSpec]
"""Column specifications by the field of a result that fills the column."""

QUOTED = {
    "sigma": ColumnSpec("sigma_{name}", "standard uncertainty of the {long_name}"),
    "sigma_linear": ColumnSpec("sigma_{name}_linear", "standard uncertainty of the {long_name} by linear propagation"),
    "bias": ColumnSpec("bias_{name}", "mean of the {long_name} over the noise minus its value at the hits"),
    "interval68": ColumnSpec("interval68_{name}", "68.27 % coverage interval (JCGM 101) of the {long_name}", "end"),
    "interval95": ColumnSpec("interval95_{name}", "95 % coverage interval (JCGM 101) of the {long_name}", "end"),
    "confidence68": ColumnSpec("confidence68_{name}", "68.27 % confidence interval of the {long_name}", "end"),
    "confidence95": ColumnSpec("confidence95_{name}", "95 % confidence interval of the {long_name}", "end"),
    "linear_valid": ColumnSpec(
        "linear_valid_{name}", "whether linear propagation is valid for the {long_name}", dtype="u1"
    ),
    "flag": ColumnSpec("flag_{name}", "sum of bits on the result for the {long_name}; 0: it can be used", dtype="u1"),
}
"""Quoted columns of each observable: fields of `pullback.quote`, and the flag."""

DISTANCE = ColumnSpec("distance_{name}", "distance of the {long_name} from its fold, in standard deviations", unit="1")

DISTANCES = {"": DISTANCE, "_true": ColumnSpec("distance_{name}_true", DISTANCE.words + ", at the true hits", unit="1")}
"""Distance from the fold, of observables that have one, at the recorded and at the true hits."""

SQUARED = {
    "squared": ColumnSpec("{name}_squared", "unbiased estimate of the square of the {long_name}", unit="{unit}2"),
    "sigma": ColumnSpec(
        "sigma_{name}_squared", "standard uncertainty of the square of the {long_name}", unit="{unit}2"
    ),
}
"""Columns of an observable whose square is estimated: fields of `pullback.uncertainty.signed.Squares`."""

TRUE_LINEAR = {"sigma": ColumnSpec("sigma_{name}_linear_true", QUOTED["sigma_linear"].words + " at the true hits")}

LINEAR_SIGMA = {"": QUOTED["sigma_linear"], "_true": TRUE_LINEAR["sigma"]}
"""σ by linear propagation at the recorded and at the true hits, by the suffix of their columns."""

TOYS = {
    "mean": ColumnSpec("toy_mean_{name}", "mean of the {long_name} over toys"),
    "sd": ColumnSpec("toy_sd_{name}", "standard deviation of the {long_name} over toys"),
    "sd_error": ColumnSpec(
        "toy_sd_error_{name}", "standard error of the standard deviation of the {long_name} over toys"
    ),
    "interval68": ColumnSpec("toy_interval68_{name}", "interval that holds 68.27 % of the toys' {long_name}", "end"),
    "interval68_error": ColumnSpec(
        "toy_interval68_error_{name}", "standard errors of the ends of the 68.27 % interval of the {long_name}", "end"
    ),
    "interval95": ColumnSpec("toy_interval95_{name}", "interval that holds 95 % of the toys' {long_name}", "end"),
    "interval95_error": ColumnSpec(
        "toy_interval95_error_{name}", "standard errors of the ends of the 95 % interval of the {long_name}", "end"
    ),
}
"""Toy columns of each observable: fields of `pullback.run_toys`."""

BUDGET = {
    "shares": ColumnSpec(
        "budget_{name}", "contribution of each source to the variance of the {long_name}", "source", unit="{unit}2"
    )
}
"""Columns of observables with several sources of uncertainty: fields of `pullback.steps.components.Contributions`."""

SHARED = {
    "systematic_jacobian": ColumnSpec(
        "systematic_jacobian_{name}",
        "derivative of the {long_name} by each systematic",
        "systematic",
        unit="{unit} per unit of the systematic",
    ),
    "shared": ColumnSpec("sigma_shared_{name}", "standard uncertainty of the {long_name} shared by all muons"),
    "total": ColumnSpec(
        "sigma_total_{name}", "total standard uncertainty of the {long_name}, including the shared one"
    ),
}
"""Columns of each observable in a study with systematics."""

DESIGN = {
    "count": ColumnSpec("count_{name}", "muons with a linear σ of the {long_name}", unit="1"),
    "sigma": ColumnSpec("sigma_{name}", "sum of the linear σ of the {long_name} over muons"),
    "slopes": ColumnSpec(
        "slopes_{name}",
        "sum over muons of the slope of the linear σ of the {long_name} by each parameter",
        "parameter",
        unit="{unit} per unit of the parameter",
    ),
}
"""Sums over the muons of each block: fields of `pullback.steps.components.Design`."""

EXPERIMENT_MUONS = {"sd": ColumnSpec("sd_{name}", "standard deviation of the {long_name} over pseudo-experiments")}
"""Columns of each muon in pseudo-experiments: fields of `pullback.steps.pseudo_experiments.Experiments`."""

EXPERIMENTS = {
    "count": ColumnSpec("count_{name}", "muons with a value of the {long_name}", unit="1"),
    "pull": ColumnSpec("pull_{name}", "sum over muons of the pull of the {long_name}", "experiment", unit="1"),
    "square": ColumnSpec(
        "square_{name}", "sum over muons of the squared pull of the {long_name}", "experiment", unit="1"
    ),
}
"""Sums over the muons of a block in each pseudo-experiment."""

COVERED = {
    "true": ColumnSpec("true_{name}", "{long_name} at the true hits"),
    "bias": ColumnSpec("bias_{name}", "predicted bias of the {long_name}"),
    "sd": ColumnSpec("sd_{name}", "predicted standard deviation of the {long_name}"),
    "toys": ColumnSpec("toys_{name}", "toys with a value of the {long_name}", unit="1"),
    "off_mean": ColumnSpec("off_mean_{name}", "mean over toys of recorded minus true {long_name}"),
    "off_sd": ColumnSpec("off_sd_{name}", "standard deviation over toys of the recorded {long_name}"),
    "pulls": ColumnSpec("pulls_{name}", "toys with a linear σ of the {long_name}", unit="1"),
    "pull_mean": ColumnSpec("pull_mean_{name}", "mean over toys of (recorded - true)/linear σ", unit="1"),
    "pull_sd": ColumnSpec("pull_sd_{name}", "standard deviation over toys of (recorded - true)/linear σ", unit="1"),
    "toys_confident": ColumnSpec(
        "toys_confident_{name}", "toys whose confidence intervals of the {long_name} are computed", unit="1"
    ),
    "without": ColumnSpec("without_{name}", "toys without a confidence interval of the {long_name}", unit="1"),
    **{
        f"{kind}{level}": ColumnSpec(
            f"{kind}{level}_{{name}}", f"toys whose {words} holds the true {{long_name}}", unit="1"
        )
        for kind, level, words in (
            ("linear", "68", "linear ±1 σ"),
            ("linear", "95", "linear ±1.96 σ"),
            ("confidence", "68", "68.27 % confidence interval"),
            ("confidence", "95", "95 % confidence interval"),
            ("interval", "68", "68.27 % coverage interval (JCGM 101)"),
            ("interval", "95", "95 % coverage interval (JCGM 101)"),
        )
    },
    "toys_quoted": ColumnSpec("toys_quoted_{name}", "toys with a coverage interval of the {long_name}", unit="1"),
    "budget_toys": ColumnSpec(
        "budget_toys_{name}",
        "share of each layer in the variance of the {long_name} over toys",
        "source",
        unit="{unit}2",
    ),
    "budget_quoted": ColumnSpec(
        "budget_quoted_{name}",
        "quoted share of each layer in the variance of the {long_name}",
        "source",
        unit="{unit}2",
    ),
}
"""Columns of each observable with one row per truth: fields of `pullback.steps.truth_toys.TruthToys`."""

TRUTH_PLACES = {
    "muon": Quantity("muon", "1", "index of the muon in its point"),
    "bin": Quantity("bin", "1", "bin of the distance of the truth from the fold"),
    "distance": Quantity("distance", "1", "distance of the truth from the fold, in σ"),
    "width_ratio": Quantity("width_ratio", "1", "larger over smaller width of the two quantities that fold"),
}
"""Columns with one row per truth that do not depend on the observable."""

REAL_PLACES = {"distance", "width_ratio"}
"""Those that are no whole numbers."""

END_LABELS = {"end": ["low", "high"]}

Labels = Mapping[str, list[str] | int]
"""Labels along second axes, by name of the axis; the length of an axis without labels."""

Attributes = Mapping[str, Mapping[str, Any]]
"""Further attributes of columns, by field."""


class ColumnGroup:
    """Columns of the same specifications for every observable, or for some, in a group of a scan point.

    They have `rows` rows along the dimension `dim`.
    """

    def __init__(
        self,
        out: Writer,
        part: Part[ArtefactConfig],
        kinds: ColumnSpecs,
        group: h5py.Group,
        dim: str,
        rows: int,
        labels: Labels = END_LABELS,
        about: Attributes | None = None,
        which: Sequence[int] | None = None,
    ):
        about = {"flag": FLAG_ATTRIBUTES, **(about or {})}
        self._columns: list[tuple[str, int, Column]] = []
        observables = part.model.observables
        for index in range(len(observables)) if which is None else which:
            observable = observables[index]
            for field, kind in kinds.items():
                shape: tuple[int, ...] = (rows,)
                dims: Dims = {dim: None}
                if kind.along:
                    along = labels[kind.along]
                    dims[kind.along] = along if isinstance(along, list) else None
                    shape = rows, along if isinstance(along, int) else len(along)
                name, words = (text.format(**observable._asdict()) for text in kind[:2])
                unit = kind.unit.format(unit=observable.unit) if np.dtype(kind.dtype).kind == "f" else "1"
                quantity = Quantity(name, "1" if unit == "12" else unit, words)
                column = out.column(group, name, shape, dims, quantity, kind.dtype, **about.get(field, {}))
                self._columns.append((field, index, column))

    def append(self, result: Mapping[str, np.ndarray], rows: np.ndarray | slice = slice(None)) -> None:
        """Write the selected rows of a result with fields (muon, observable) or (muon, observable, end)."""
        for field, index, column in self._columns:
            column.append(result[field][rows, index])


def of_muons(
    out: Writer,
    part: Part[ArtefactConfig],
    kinds: ColumnSpecs,
    labels: Labels = END_LABELS,
    about: Attributes | None = None,
    which: Sequence[int] | None = None,
) -> ColumnGroup:
    """Add columns with one row per muon of the part."""
    return ColumnGroup(out, part, kinds, out.point(part), "muon", part.stop - part.start, labels, about, which)


def of_blocks(out: Writer, part: Part[ArtefactConfig], kinds: ColumnSpecs, labels: Labels, rows: int) -> ColumnGroup:
    """Add columns with one row per block, in a group `design`."""
    return ColumnGroup(out, part, kinds, out.point(part).create_group("design"), "block", rows, labels)


def add(out: Writer, part: Part[ArtefactConfig], quantity: Quantity, **axes: list[str]) -> Column:
    """Add one column with one row per muon, and with further axes given by their labels."""
    shape = (part.stop - part.start, *map(len, axes.values()))
    return out.column(out.point(part), quantity.name, shape, {"muon": None, **axes}, quantity)


def of_observables(out: Writer, part: Part[ArtefactConfig]) -> Column:
    """Add the column of the observables' covariance by linear propagation (muon, observable, observable)."""
    names = [observable.name for observable in part.model.observables]
    quantity = Quantity("covariance", "units of both", "covariance of the observables by linear propagation")
    return add(out, part, quantity, observable=names, observable_2=names)


def of_hits(out: Writer, part: Part[ArtefactConfig], name: str, which: str) -> Column:
    """Add a column of hits (muon, coordinate)."""
    coordinates = part.model.coordinates
    words = " and ".join(dict.fromkeys(coordinate.long_name for coordinate in coordinates))
    quantity = Quantity(name, coordinates[0].unit, f"{which} {words}")
    return add(out, part, quantity, coordinate=[coordinate.name for coordinate in coordinates])


def has_covariances(part: Part[ArtefactConfig]) -> bool:
    """Whether the recorded hits of a part have their own covariances."""
    source = part.config.source
    return source.kind == "recorded" and bool(source.sigma or source.covariance)


def has_momenta(part: Part[ArtefactConfig]) -> bool:
    """Whether scattering in the layers depends on the momentum of each muon, and it is known."""
    source = part.config.source
    return part.model.momentum is not None and not (source.kind == "recorded" and not source.momentum_column)


def has_heights(part: Part[ArtefactConfig]) -> bool:
    """Whether the heights of the hits of each muon are recorded."""
    source = part.config.source
    return source.kind == "recorded" and bool(source.z)


def of_heights(out: Writer, part: Part[ArtefactConfig]) -> Column:
    """Add the column of the heights of the hits (muon, layer), m."""
    layers = [f"layer {layer}" for layer in sorted(set(part.model.layers))]
    return add(out, part, Quantity(HEIGHTS, "m", "height of the hits on each layer"), layer=layers)


def of_momenta(out: Writer, part: Part[ArtefactConfig]) -> Column:
    """Add the column of the momenta of the muons, by which the layers scatter them."""
    return add(out, part, Quantity(MOMENTUM, "GeV/c", "momentum of the muon; NaN: unknown"))


def of_kept(out: Writer, part: Part[ArtefactConfig]) -> dict[str, Column]:
    """Add the columns of the file that are kept as they are, by their name in the file."""
    found, muons, group = {}, part.stop - part.start, out.point(part)
    for name, kind in part.reading.kept.items():
        quantity = Quantity(kept_name(name), "1", f"column {name} of the file of hits")
        found[name] = out.column(group, quantity.name, (muons,), {"muon": None}, quantity, kind)
    return found


def of_covariances(out: Writer, part: Part[ArtefactConfig], shape: tuple[int, ...]) -> Column:
    """Add the column of the hits' variances (muon, coordinate) or covariances (muon, coordinate, coordinate)."""
    names = [coordinate.name for coordinate in part.model.coordinates]
    axes = dict.fromkeys(("coordinate", "coordinate_2")[: len(shape)], names)
    return add(out, part, Quantity(COVARIANCE, "m2", "covariance of the recorded hits (NaN: the detector's)"), **axes)


def of_truths(
    out: Writer, part: Part[ArtefactConfig], of_blocks: Sequence[Mapping[str, np.ndarray]], sources: list[str]
) -> None:
    """Write columns with one row per truth, block by block, in a group `coverage`."""
    group, count = out.point(part).create_group("coverage"), sum(len(rows["muon"]) for rows in of_blocks)
    places = {
        name: out.column(group, name, (count,), {"truth": None}, quantity, "f8" if name in REAL_PLACES else "i8")
        for name, quantity in TRUTH_PLACES.items()
    }
    kinds = {name: kind for name, kind in COVERED.items() if not kind.along or sources}
    table = ColumnGroup(out, part, kinds, group, "truth", count, {"source": sources})
    for rows in of_blocks:
        table.append(rows)
        for name, column in places.items():
            column.append(rows[name])


PULLS = {
    "count": ("number of pulls", ("quantity", "bin")),
    "sum": ("sum of pulls", ("quantity", "bin")),
    "square": ("sum of squared pulls", ("quantity", "bin")),
    "inside68": ("pulls within ±1", ("quantity",)),
    "inside95": ("pulls within ±1.96", ("quantity",)),
    "first": ("pulls of the first muons", ("quantity", "sample")),
    "seen": ("muons with a hit", ("layer",)),
    "muons": ("muons with all true hits", ()),
    "intervals": ("muons with confidence intervals", ("observable",)),
    "held68": ("muons whose 68.27 % confidence interval holds the truth", ("observable",)),
    "held95": ("muons whose 95 % confidence interval holds the truth", ("observable",)),
}
"""Columns of `pullback.steps.true_pulls.TruePulls`, with one row per block: words, and further axes."""


def of_pulls(out: Writer, part: Part[ArtefactConfig], labels: Mapping[str, list[str] | int]) -> dict[str, Column]:
    """Add columns of pulls with one row per block, in a group `pulls`."""
    group, found = out.point(part).create_group("pulls"), {}
    for name, (words, axes) in PULLS.items():
        along = {axis: labels[axis] for axis in axes}
        shape = part.last - part.first, *(each if isinstance(each, int) else len(each) for each in along.values())
        dims: Dims = {"block": None, **{axis: each if isinstance(each, list) else None for axis, each in along.items()}}
        found[name] = out.column(group, name, shape, dims, Quantity(name, "1", words))
    return found
