"""Configs as users may write them, made by hypothesis: any model, source, noise and scan, in any order."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path
from typing import Any, NamedTuple

from hypothesis import strategies as st

from pullback.config.messages import checked
from pullback.config.plain import check_plain
from pullback.config.schema import StudyConfig


def load(raw: Any, *, where: str = "config") -> StudyConfig:
    """The checked config, without a plan of its study."""
    check_plain(raw, where)
    return checked(StudyConfig, raw, where)


@dataclass(frozen=True)
class Written:
    """A config as YAML gives it, and the text of the files that it names."""

    raw: dict[str, Any]
    files: dict[str, str] = field(default_factory=dict)

    def write(self) -> dict[str, Any]:
        """Write the files into the working directory; the config."""
        for name, text in self.files.items():
            Path(name).write_text(text, encoding="utf-8")
        return self.raw


LEAST = 1e-12
"""The smallest number in a config, but 0."""


class Range(NamedTuple):
    """Where a number of the config may lie, whatever the others are."""

    low: float
    high: float
    whole: bool = False

    @property
    def values(self) -> st.SearchStrategy:
        if self.whole:
            return st.integers(int(self.low), int(self.high))
        ends = math.ceil(self.low), math.floor(self.high)
        rounded = [st.integers(*ends)] if ends[0] <= ends[1] else []
        decades = [_decades(max(self.low, LEAST), self.high)] if self.low >= 0 and self.high > 1e3 * self.low else []
        # Nothing between 0 and what any unit makes of a length or an angle.
        plain = st.floats(self.low, self.high).map(lambda value: value if abs(value) > LEAST else max(self.low, 0.0))
        return st.one_of(*rounded, *decades, plain)


def _decades(low: float, high: float) -> st.SearchStrategy[float]:
    return st.floats(math.log10(low), math.log10(high)).map(lambda power: min(max(10**power, low), high))


NUMBERS = {
    "seed": Range(0, 2**53, whole=True),
    "uncertainty.n_dig": Range(1, 6, whole=True),
    "toys.n_dig": Range(1, 3, whole=True),
    "validation.coverage_tolerance": Range(1e-9, 0.2499),
    "validation.data_tolerance": Range(1e-9, 0.999999),
    "validation.confidence": Range(1e-9, 0.999999),
    "validation.domain": Range(0, 1e9),
}
COUNTS = {
    "source.muons": Range(1, 3_000_000, whole=True),
    "toys.muons": Range(1, 5000, whole=True),
    "toys.per_muon": Range(2, 100_000, whole=True),
    "toys.most": Range(20_000, 10**6, whole=True),
    "toys.experiments": Range(100, 10**5, whole=True),
    "coverage.toys_per_bin": Range(100, 10**6, whole=True),
}
FEW = {
    "source.muons": Range(1, 40, whole=True),
    "toys.muons": Range(1, 6, whole=True),
    "toys.per_muon": Range(2, 80, whole=True),
    "toys.most": Range(20_000, 30_000, whole=True),
    "toys.experiments": Range(100, 130, whole=True),
    "coverage.toys_per_bin": Range(100, 130, whole=True),
}
RESOLUTION, SIGMA, EFFICIENCY = Range(1e-6, 1e12), Range(1e-12, 1e6), Range(0.05, 1)
BY_VIEW = {"sigma.x": SIGMA, "sigma.y": SIGMA}
EFFICIENCY_BY_VIEW = {"efficiency.y": EFFICIENCY, "efficiency.x": EFFICIENCY}
NOISE = {
    "gaussian": {},
    "strip": {"pitch": Range(0, 1e6)},
    "tails": {"fraction": Range(0, 1), "width": Range(1, 1e6)},
    "clipped": {"clip": Range(0.01, 8)},
}
POSITIONS = {"source.x_min": Range(-1e6, 0), "source.x_max": Range(1e-9, 1e6)}
COSMIC = {"source.cosmic.zenith_max": Range(1e-9, 1.5), "source.cosmic.momentum": Range(0.1, 1e5)}
BEAM = {
    "source.beam.slope_x": Range(-1, 1),
    "source.beam.slope_y": Range(-1, 1),
    "source.beam.spread": Range(0, 1),
    "source.beam.momentum": Range(0.1, 1e5),
}
SPOT = {"source.beam.spot": Range(0, 1), "source.beam.x": Range(-1, 1), "source.beam.y": Range(-1, 1)}
VOLUME = {
    "source.volume.z": Range(-0.1, 0.1),
    "source.volume.thickness": Range(0, 0.5),
    "source.volume.radiation_length": Range(1e-4, 1e6),
}
WORDS = {
    "random_numbers": ["common", "independent"],
    "toys.mode": ["fixed", "adaptive"],
    "validation.strict": [True, False],
    "figures.points": ["notable", "all"],
    "figures.pdf": [True, False],
    "compute.device": ["cpu", "auto"],
    "compute.batch_cost": [1, 10_000, 10**7, 10**12],
}


@dataclass
class Chosen:
    """A model: what the config says of it, and what goes with it."""

    keys: dict[str, Any]
    coordinates: list[str]
    layers: int
    observables: list[str]
    numbers: dict[str, Range] = field(default_factory=dict)
    shared: list[str] = field(default_factory=list)
    beside: dict[str, Range] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)


def _some(draw: st.DrawFn, numbers: Mapping[str, Range]) -> dict[str, float]:
    """Values for some of the numbers."""
    return {name: draw(each.values) for name, each in numbers.items() if draw(st.booleans())}


def _alignments(coordinates: list[str]) -> list[str]:
    """The names that offsets of coordinates go by."""
    return [f"alignment.{name[0]}[{name[1:]}]" if name[1:] else f"alignment.{name}" for name in coordinates]


@st.composite
def one_hit(draw: st.DrawFn) -> Chosen:
    numbers = {"model.dz": Range(1e-6, 1e6)}
    keys = {**draw(st.sampled_from([{}, {"model.name": "one_hit"}])), **_some(draw, numbers)}
    return Chosen(keys, ["x"], 1, ["theta"], numbers, ["model.dz", "alignment.x"])


def _heights(draw: st.DrawFn, name: str, numbers: dict[str, Range], first: float, step: float) -> list[float] | None:
    """Heights of layers, each in a range of its own; or none, for the three of the default."""
    count = draw(st.none() | st.integers(2, 4))
    order = range(3) if count is None else draw(st.permutations(range(count)))
    lows = [first + step * place for place in order]
    ranges = {f"{name}[{index}]": Range(*sorted((low, low + 0.9 * step))) for index, low in enumerate(lows)}
    numbers |= ranges
    return None if count is None else [draw(each.values) for each in ranges.values()]


def _planes(draw: st.DrawFn, numbers: dict[str, Range]) -> dict[str, Any]:
    """Perhaps planes, each in a range of its own, with or without a unit; one perhaps alone."""
    count = draw(st.sampled_from([0, 0, 1, 2]))
    ranges = {f"model.at[{index}]": Range(-2.0 + 3 * index, 0.9 + 3 * index) for index in range(count)}
    numbers |= ranges
    heights = [draw(each.values) for each in ranges.values()]
    written = [draw(st.sampled_from([each, f"{each} m"])) for each in heights]
    together = [written, *([f"{heights} m"] if count else []), *(written if count == 1 else [])]
    return {"model.at": draw(st.sampled_from(together))} if count or draw(st.booleans()) else {}


def _scattering(draw: st.DrawFn, numbers: dict[str, Range], layers: int) -> dict[str, Any]:
    """The weights of the fit, and scattering by angle or material, of all layers or by layer, with a momentum."""
    keys = draw(st.sampled_from([{}, {}, {"model.fit": "gls"}, {"model.fit": "ols"}]))
    name, each = draw(st.sampled_from([("model.theta0", Range(0, 1)), ("model.material", Range(0, 10))]))
    if draw(st.booleans()):
        own = {f"{name}[{layer}]": each for layer in range(layers)}
        keys = {**keys, name: [draw(each.values) for _ in own]}
    else:
        own = {name: each}
        keys = {**keys, **({name: draw(each.values)} if name == "model.material" else _some(draw, own))}
    if name == "model.material":
        numbers |= own | {"model.momentum": Range(0.1, 1e5)}
        return {**keys, "model.momentum": 2.0}
    numbers |= own
    return {**keys, **draw(st.sampled_from([{}, {"model.theta0_momentum": 2.0}]))}


@st.composite
def tracks(draw: st.DrawFn) -> Chosen:
    name = draw(st.sampled_from(["track", "track3d"]))
    numbers: dict[str, Range] = {}
    keys: dict[str, Any] = {"model.name": name}
    z = _heights(draw, "model.z", numbers, 0.0, 1.0)
    if z is not None:
        keys["model.z"] = z
    layers = len(numbers)
    keys |= _planes(draw, numbers)
    heights = [*numbers]
    keys |= _scattering(draw, numbers, layers)
    views = "x" if name == "track" else "xy"
    coordinates = [f"{view}{index}" for view in views for index in range(layers)]
    observables = ["slope", "theta", "intercept"] if name == "track" else ["theta", "phi", "tx", "ty"]
    observables += [f"{view}_at_{index}" for index in range(len(heights) - layers) for view in views]
    shared = [*heights, *_alignments(coordinates)]
    return Chosen(keys, coordinates, layers, observables, numbers, shared, COSMIC)


@st.composite
def scatter(draw: st.DrawFn) -> Chosen:
    numbers: dict[str, Range] = {}
    keys: dict[str, Any] = {"model.name": "scatter"}
    for name, first, step in (("model.z_upper", 0.5, 1.0), ("model.z_lower", -0.5, -1.0)):
        z = _heights(draw, name, numbers, first, step)
        if z is not None:
            keys[name] = z
    layers = len(numbers)
    keys |= _planes(draw, numbers)
    heights = [*numbers]
    keys |= _scattering(draw, numbers, layers)
    coordinates = [f"{view}{index}" for view in "xy" for index in range(layers)]
    observables = ["theta_in", "theta_out", "dtheta_x", "dtheta_y", "theta_msc", *(f"poca_{axis}" for axis in "xyz")]
    lines = ["x_in", "y_in", "x_out", "y_out"]
    observables += [f"{line}_at_{index}" for index in range(len(heights) - layers) for line in lines]
    shared = [*heights, *_alignments(coordinates)]
    return Chosen(keys, coordinates, layers, observables, numbers, shared, {**COSMIC, **VOLUME})


OWN = """
import torch

def infer(hits, zeta, alpha):
    x = torch.where(torch.isfinite(hits), hits, 0.0) if {missing} else hits
    return torch.stack([{observables}], dim=1)

def throw(rng, muons, zeta):
    return zeta * rng.standard_normal((muons, {coordinates}))

def added(hits, alpha):
    return alpha[1] ** 2 * torch.eye({coordinates}, dtype=hits.dtype)
"""
OBSERVED = {
    "total": ("zeta * x.sum(1) + alpha[0]", {"unit": "m", "fold": "none", "symbol": "Σ"}),
    "size": ("(zeta * x[:, 0] + alpha[0]).abs()", {"unit": "m", "long_name": "size of the first"}),
    "angle": ("torch.atan2(x[:, -1] + alpha[1], x[:, 0])", {"unit": "rad", "period": 2 * math.pi, "fold": "size"}),
    "bent": ("zeta * (x[:, -1] + alpha[0]).asinh()", {"unit": "$m^2$", "domain": 4.0}),
}


@st.composite
def own(draw: st.DrawFn) -> Chosen:
    coordinates = draw(st.lists(st.sampled_from(["y", "x", "x1", "t2"]), min_size=1, max_size=3, unique=True))
    # The angle of a coordinate with itself is 45°, whatever the hits.
    possible = [name for name in OBSERVED if name != "angle" or len(coordinates) > 1]
    observables = draw(st.lists(st.sampled_from(possible), min_size=1, max_size=3, unique=True))
    sections = [{"name": name, **OBSERVED[name][1]} for name in observables]
    for section in sections:
        if section.get("fold") == "size" and "size" not in observables:
            section["fold"] = "none"
    missing = draw(st.booleans())
    code = OWN.format(
        missing=missing, coordinates=len(coordinates), observables=", ".join(OBSERVED[name][0] for name in observables)
    )
    layers = draw(st.none() | st.lists(st.integers(0, 1), min_size=len(coordinates), max_size=len(coordinates)))
    if layers is not None and {*layers} != {*range(max(layers) + 1)}:
        layers = [1 - layer for layer in layers]
    if layers is not None:
        given = [{"layer": layer, "name": name} for layer, name in zip(layers, coordinates, strict=True)]
    numbers = {"model.zeta": Range(0.1, 10), "model.alpha[0]": Range(-2, 2), "model.alpha[1]": Range(0, 1)}
    zeta, *alpha = (draw(each.values) for each in numbers.values())
    keys = {
        **draw(st.sampled_from([{}, {"model.name": "own"}])),
        "model.file": "own_model.py",
        "model.coordinates": coordinates if layers is None else given,
        "model.observables": sections,
        "model.parameters": dict(draw(st.permutations([("zeta", zeta), ("alpha", alpha)]))),
        **draw(st.sampled_from([{}, {"model.draw": "throw"}])),
        **draw(st.sampled_from([{}, {"model.covariance": "added"}])),
        **({"model.missing": missing} if missing else {}),
        **draw(st.sampled_from([{}, {"model.units": {"zeta": "m"}}])),
    }
    shared = [*numbers, *_alignments(coordinates)]
    count = len(coordinates) if layers is None else max(layers) + 1
    return Chosen(keys, coordinates, count, observables, numbers, shared, files={"own_model.py": code})


MODELS = {"one_hit": one_hit(), "track": tracks(), "scatter": scatter(), "own": own()}


@st.composite
def recorded(draw: st.DrawFn, model: Chosen) -> tuple[dict[str, Any], dict[str, str]]:
    """The keys of a recorded source, and its file."""
    names = model.coordinates
    columns = {name: draw(st.sampled_from([name, f"hit {name}"])) for name in names}
    keys: dict[str, Any] = {"source.kind": "recorded", "source.file": "hits.csv"}
    mapped = {name: column for name, column in columns.items() if name != column or draw(st.booleans())}
    if mapped:
        keys["source.columns"] = dict(draw(st.permutations([*mapped.items()])))
    known = draw(st.lists(st.sampled_from(names), unique=True))
    if known:
        keys["source.sigma"] = {name: f"σ {name}" for name in known}
    pairs = draw(st.lists(st.sampled_from([*combinations(known, 2)]), max_size=1)) if len(known) > 1 else []
    if pairs:
        keys["source.covariance"] = {f"{one}, {other}": "c" for one, other in pairs}
    heights = []
    if model.keys.get("model.name") in ("track", "track3d", "scatter") and draw(st.integers(0, 2)) == 0:
        heights = [f"z of {layer}" for layer in range(model.layers)]
        keys["source.z"] = heights
    if not {"model.theta0_momentum", "model.material"}.isdisjoint(model.keys) and draw(st.booleans()):
        keys["source.momentum_column"] = "momentum"
    if draw(st.booleans()):
        keys["source.unit"] = draw(st.sampled_from(["m", "cm", "mm"]))
    far = [] if "model.file" in model.keys else [-1e308, 1e308]  # at which a model of the user's own need not work
    hit = st.floats(-1000, 1000) | st.sampled_from(["", 0, "nan", "inf", *far])
    cells = {
        **dict.fromkeys(columns.values(), hit),
        **{f"σ {name}": _decades(1e-6, 1e3) for name in known},
        **dict.fromkeys(heights, st.floats(-1000, 1000) | st.sampled_from([0, 1])),
        "run": st.integers(0, 3),
        "momentum": _decades(0.1, 1e3) | st.just(""),
    }
    rows = draw(st.lists(st.fixed_dictionaries(cells), min_size=1, max_size=20))
    header = draw(st.permutations([*cells, *("c" for _ in pairs)]))
    for row in rows:
        for one, other in pairs:
            row["c"] = draw(st.floats(-0.99, 0.99)) * row[f"σ {one}"] * row[f"σ {other}"]
    lines = [",".join(header), *(",".join(str(row[column]) for column in header) for row in rows)]
    return keys, {"hits.csv": "\n".join(lines) + "\n"}


@st.composite
def muons(draw: st.DrawFn, beside: dict[str, Range]) -> tuple[dict[str, Range], dict[str, Any]]:
    """The numbers of a simulated source, and some of its other keys."""
    numbers, keys = POSITIONS | beside, {}
    if beside and draw(st.booleans()):
        keys["source.cosmic.spectrum"] = draw(st.sampled_from(["fixed", "sea_level"]))
    elif beside:
        numbers = BEAM | {name: each for name, each in numbers.items() if name not in COSMIC}
        keys["source.beam.slope_y"] = draw(BEAM["source.beam.slope_y"].values)
        if draw(st.booleans()):
            numbers = SPOT | {name: each for name, each in numbers.items() if name not in POSITIONS}
            keys["source.beam.spot"] = draw(SPOT["source.beam.spot"].values)
    if "source.volume.thickness" in beside and draw(st.booleans()):
        del numbers["source.volume.radiation_length"]
        keys["source.volume.material"] = draw(st.sampled_from(["water", "standard_rock", "lead"]))
        keys["source.volume.energy_loss"] = draw(st.sampled_from(["none", "bethe"]))
    return numbers, keys


@st.composite
def scans(draw: st.DrawFn, numbers: Mapping[str, Range], most: int) -> tuple[dict[str, Any] | None, dict[str, str]]:
    """A scan of any form over some numbers, in any order, and the file of its table."""
    form = draw(st.sampled_from(["none", "product", "zip", "zip beside a list", "table"]))
    if form == "none":
        return None, {}
    names = draw(st.lists(st.sampled_from(sorted(numbers)), min_size=1, max_size=3, unique=True))
    if form == "product":
        sizes = {name: 1 if index and most < 10 else 2 if index else most for index, name in enumerate(names)}
        lists = {
            name: draw(st.lists(numbers[name].values, min_size=1, max_size=sizes[name], unique=True)) for name in names
        }
        return lists, {}
    in_step = names[:2] if form == "zip beside a list" else names
    row = st.tuples(*(numbers[name].values for name in in_step))
    rows = draw(st.lists(row, min_size=1, max_size=most, unique=True))
    if form != "table":
        lists = {"zip": {name: [each[index] for each in rows] for index, name in enumerate(in_step)}}
        lists |= {name: [draw(numbers[name].values)] for name in names[len(in_step) :]}
        return dict(draw(st.permutations([*lists.items()]))), {}
    lines = [", ".join(names), *(",".join(map(str, each)) for each in rows)]
    return {"table": "scan.csv"}, {"scan.csv": "\n".join(lines) + "\n"}


HEIGHT = re.compile(r"model\.z(_upper|_lower)?\b")
"""Beginnings of the names of heights of layers."""


@st.composite
def systematics(draw: st.DrawFn, names: list[str]) -> dict[str, Any]:
    """Standard uncertainties of some numbers, and perhaps a correlation of two."""
    some = draw(st.lists(st.sampled_from(names), min_size=1, max_size=4, unique=True))
    section: dict[str, Any] = {name: draw(st.just(0) | _decades(1e-6, 0.01)) for name in some}
    if len(some) > 1 and draw(st.booleans()):
        comma = draw(st.sampled_from([",", ", ", " ,"]))
        section["correlations"] = {f"{some[1]}{comma}{some[0]}": draw(st.floats(-1, 1) | st.sampled_from([-1, 0, 1]))}
    return dict(draw(st.permutations([*section.items()])))


@st.composite
def places(
    draw: st.DrawFn, layers: int, in_views: bool, *, can_move: bool, small: bool, simulated: bool
) -> dict[str, Any]:
    """Perhaps where layers are, or that it is to be found of those between others; a small study has too few tracks."""
    ranges = {"x": Range(-1, 1), "scale_x": Range(-0.1, 0.1)}
    ranges |= {"y": Range(-1, 1), "rotation": Range(-0.1, 0.1), "scale_y": Range(-0.1, 0.1)} if in_views else {}

    def lists() -> dict[str, list[float]]:
        return {
            name: [draw(each.values) for _ in range(layers)] for name, each in ranges.items() if draw(st.booleans())
        }

    found: dict[str, Any] = {}
    if simulated and draw(st.integers(0, 3)) == 0:
        found |= {f"detector.misalignment.{name}": values for name, values in lists().items()}
    how = draw(st.sampled_from(["none", "none", "given", "found"]))
    if how == "given":
        found |= {f"alignment.{name}": values for name, values in lists().items()} or {"alignment": None}
    elif how == "found" and not small and can_move:
        free = draw(st.permutations(["x", "scale", *(["y", "rotation"] if in_views else [])]))
        found |= {"alignment.tracks": draw(st.integers(100, 10**6)), "alignment.free": free}
    return found


@st.composite
def targets(draw: st.DrawFn, keys: Mapping[str, Any], numbers: Mapping[str, Range], model: Chosen) -> dict[str, Any]:
    """A wanted σ of an observable, and one of the numbers to vary."""
    # Where heights are the default ones, they may lie outside of their ranges.
    known = [name for name in numbers if "model.z" not in name or name.partition("[")[0] in keys or "zeta" in name]
    vary = draw(st.sampled_from([name for name in known if name.startswith(("model.", "detector."))]))
    observable, wanted = draw(st.sampled_from(model.observables)), draw(_decades(1e-5, 10))
    target: dict[str, Any] = draw(st.sampled_from([{"sigma": {observable: wanted}}, {f"sigma_{observable}": wanted}]))
    low, high, _ = numbers[vary]
    between = {} if low > 0 and draw(st.booleans()) else {"between": [low, high]}
    return dict(draw(st.permutations([*{**target, "vary": vary, **between}.items()])))


@st.composite
def configs(draw: st.DrawFn, *, small: bool = False) -> Written:
    """A valid config with its files; a `small` one runs in a moment."""
    model = draw(st.sampled_from([*MODELS]).flatmap(MODELS.get))
    counts = FEW if small else COUNTS
    numbers = {**NUMBERS, **counts, **model.numbers}
    keys = {"study": draw(st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,20}", fullmatch=True)), **model.keys}
    files = dict(model.files)
    if draw(st.sampled_from(["simulated", "simulated", "recorded"])) == "simulated":
        more, given = draw(muons(model.beside))
        numbers |= more
        keys |= draw(st.sampled_from([{}, {"source.kind": "simulated"}])) | _some(draw, more) | given
    else:
        hits, file = draw(recorded(model))
        del numbers["source.muons"]
        keys, files = {**keys, **hits}, {**files, **file}
    heights_in_file = bool(keys.get("source.z"))
    if heights_in_file:  # those of the model change nothing then, and are not to be varied
        numbers = {name: each for name, each in numbers.items() if not HEIGHT.match(name)}
    in_views = {"x0", "y0"} <= {*model.coordinates}
    stated = draw(st.sampled_from([{"resolution": RESOLUTION}, {"resolution": RESOLUTION}, {"sigma": SIGMA}, BY_VIEW]))
    stated = stated if in_views or stated is not BY_VIEW else {"sigma": SIGMA}
    lossy = draw(st.sampled_from([{"efficiency": EFFICIENCY}, EFFICIENCY_BY_VIEW])) if in_views else None
    for name, each in {**stated, **(lossy or {"efficiency": EFFICIENCY})}.items():
        given = name.startswith("sigma") or "." in name
        how = draw(st.sampled_from(["number", "list"] if given else ["default", "number", "list"]))
        if how == "list":
            numbers |= {f"detector.{name}[{index}]": each for index in range(model.layers)}
            keys[f"detector.{name}"] = [draw(each.values) for _ in range(model.layers)]
            continue
        numbers[f"detector.{name}"] = each
        if how == "number":
            keys[f"detector.{name}"] = draw(each.values)
    noise = draw(st.sampled_from([None, *NOISE]))
    if noise:
        about = {f"detector.noise.{name}": each for name, each in NOISE[noise].items()}
        numbers |= about
        some = _some(draw, about)
        keys |= {"detector.noise.kind": noise, **some} if some or draw(st.booleans()) else {"detector.noise": noise}
    keys |= _some(draw, NUMBERS)
    counts = {name: each for name, each in counts.items() if name in numbers}
    keys |= {name: draw(each.values) for name, each in counts.items()} if small else _some(draw, counts)
    keys |= {name: draw(st.sampled_from(words)) for name, words in WORDS.items() if draw(st.booleans())}
    if {"x0", "x1"} <= {*model.coordinates} and "model.file" not in keys:
        can_move = model.layers > (4 if keys["model.name"] == "scatter" else 2)
        simulated = keys.get("source.kind") != "recorded"
        keys |= draw(places(model.layers, in_views, can_move=can_move, small=small, simulated=simulated))
    if "alignment.tracks" not in keys and draw(st.booleans()):
        shared = [name for name in model.shared if not (heights_in_file and HEIGHT.match(name))]
        if shared:
            keys["systematics"] = draw(systematics(shared))
    base = _nested(draw(st.permutations([*keys.items()])))
    scan, table = draw(scans(numbers, 3 if small else 6))
    if draw(st.integers(0, 3)) == 0:
        base["target"] = draw(targets(keys, numbers, model))
    if scan is not None:
        base["scan"] = scan
    return Written(dict(draw(st.permutations([*base.items()]))), {**files, **table})


def _nested(keys: list[tuple[str, Any]]) -> dict[str, Any]:
    """Sections from dotted keys, in their order."""
    raw: dict[str, Any] = {}
    for name, value in keys:
        *sections, key = name.split(".")
        section = raw
        for each in sections:
            section = section.setdefault(each, {})
        section[key] = value
    return raw
