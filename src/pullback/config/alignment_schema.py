"""Sections of the config for where layers are: alignment, and misalignment of a simulated detector."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal, get_args

from pydantic import Field, model_validator

from ..uncertainty.placement import Kind
from .base import Clash, Contradiction, Section
from .model_schema import AnyModel, OneHit, Own, Scatter
from .units import validator

FREE = ("x", "y", "rotation", "scale")
"""What may be free of a layer."""

IN_VIEWS = ("y", "rotation", "scale_y")
"""Numbers of layers that measure both views."""

LARGEST_ROTATION, LARGEST_SCALE = 0.1, 0.1
"""Largest rotation, rad, and relative error of a scale. Beyond them, a file has other axes or units than is stated."""

LayerOffsets = Annotated[list[Annotated[float, Field(ge=-1e3, le=1e3)]], Field(min_length=1, max_length=64)]
LayerRotations = Annotated[
    list[Annotated[float, Field(ge=-LARGEST_ROTATION, le=LARGEST_ROTATION)]], Field(min_length=1, max_length=64)
]
LayerScales = Annotated[
    list[Annotated[float, Field(ge=-LARGEST_SCALE, le=LARGEST_SCALE)]], Field(min_length=1, max_length=64)
]


class LayerPlaces(Section):
    """Where layers are, each number as a list by layer."""

    x: Annotated[LayerOffsets | None, validator("m")] = Field(
        None, description="offset of each layer in x from where it is stated to be", json_schema_extra={"unit": "m"}
    )
    y: Annotated[LayerOffsets | None, validator("m")] = Field(
        None, description="offset of each layer in y", json_schema_extra={"unit": "m"}
    )
    rotation: Annotated[LayerRotations | None, validator("rad")] = Field(
        None, description="rotation of each layer about z, from x towards y", json_schema_extra={"unit": "rad"}
    )
    scale_x: LayerScales | None = Field(
        None, description="relative error of the scale of each layer in x: 0.01 if its pitch is 1 % larger than stated"
    )
    scale_y: LayerScales | None = Field(None, description="relative error of the scale of each layer in y")

    @property
    def numbers(self) -> dict[Kind, list[float]]:
        """The numbers that are given, by kind."""
        return {kind: values for kind in get_args(Kind) if (values := getattr(self, kind)) is not None}


class Misalignment(LayerPlaces):
    """True deviations of the layers of a simulated detector, of which propagation knows nothing."""


class Alignment(LayerPlaces):
    """Alignment of the layers: found from the tracks, kept in a file, or given."""

    free: list[Literal["x", "y", "rotation", "scale"]] | None = Field(
        None,
        min_length=1,
        max_length=len(FREE),
        description="what is found of each layer that is no reference: offsets `x` and `y`, `rotation` about z, and "
        "`scale` in each view; default: `[x, y, rotation]`, or `[x]` of a track in one view",
    )
    reference: list[Annotated[int, Field(ge=0)]] | None = Field(
        None,
        min_length=1,
        max_length=64,
        description="layers that are held fixed, from 0; default: the lowest and the highest one of each line",
    )
    tracks: int = Field(
        200_000,
        ge=100,
        le=2_000_000,
        description="maximum number of muons, from the first one, of which layers are aligned; they are held in memory",
    )
    file: str | None = Field(
        None,
        min_length=1,
        description="an `alignment.json` that was made before, in place of `free` and `reference`; relative to the "
        "working directory",
    )

    @property
    def found(self) -> bool:
        """Whether tracks align the layers."""
        return self.file is None and not self.numbers

    @model_validator(mode="after")
    def _one_form(self) -> Alignment:
        forms = {
            "free": self.free is not None or self.reference is not None,
            "file": self.file is not None,
            "offsets": bool(self.numbers),
        }
        given = [form for form, there in forms.items() if there]
        if len(given) > 1:
            words = {"free": "free or reference", "file": "file", "offsets": f"{', '.join(self.numbers)} of layers"}
            line = f"has {' and '.join(words[form] for form in given)}; give one of them: layers are aligned once"
            raise Clash((line, ("file", *self.numbers, "free", "reference")))
        for name in ("free", "reference"):
            values: list[Any] = getattr(self, name) or []
            twice = [each for index, each in enumerate(values) if each in values[:index]]
            if twice:
                raise Clash((f"{name}: has {twice[0]} twice", (name,)))
        return self


def lines_of(model: AnyModel) -> list[dict[int, float]]:
    """The height of each layer, by its number, of each straight line of a model: one, or two with a volume between."""
    if isinstance(model, Scatter):
        upper = dict(enumerate(model.z_upper))
        return [upper, {len(upper) + index: z for index, z in enumerate(model.z_lower)}]
    return [] if isinstance(model, OneHit | Own) else [dict(enumerate(model.z))]


def references(alignment: Alignment, model: AnyModel) -> list[int]:
    """The layers that are held fixed, in order."""
    if alignment.reference is not None:
        return sorted(alignment.reference)
    return sorted({end(line, key=line.__getitem__) for line in lines_of(model) for end in (min, max)})


def free_kinds(alignment: Alignment, model: AnyModel) -> list[Kind]:
    """What is found of each free layer: kinds of numbers, in order."""
    free = alignment.free or (["x", "y", "rotation"] if model.views else ["x"])
    return [kind for kind in get_args(Kind) if kind.split("_")[0] in free and (model.views or kind not in IN_VIEWS)]


def free_parameters(alignment: Alignment, model: AnyModel) -> list[tuple[Kind, int]]:
    """Kind and layer of each number that tracks find, in order of the layer."""
    fixed = references(alignment, model)
    layers = [layer for line in lines_of(model) for layer in line if layer not in fixed]
    return [(kind, layer) for layer in layers for kind in free_kinds(alignment, model)]


def shared_name(kind: Kind, layer: int) -> str:
    """The dotted name of a number of a layer, as of a systematic."""
    return f"alignment.{kind}[{layer}]"


def alignment_mistakes(
    alignment: Alignment | None, model: AnyModel, systematics: Mapping[str, Any]
) -> Iterator[Contradiction]:
    """What does not go together in an alignment with the model and the systematics."""
    if alignment is None:
        return
    lines, keys = lines_of(model), ("alignment", "model.name")
    if not lines:
        yield (
            f"alignment: needs a model that fits lines: track, track3d or scatter, not {model.name}; leave it out",
            keys,
        )
        return
    wrong = [*placed_mistakes("alignment", alignment, model), *_wrong_free(alignment, model)]
    yield from wrong
    if wrong or not alignment.found:
        return
    yield from _weak_modes(alignment, model)
    for kind, layer in free_parameters(alignment, model):
        if (name := shared_name(kind, layer)) in systematics:
            yield f"systematics: {name}: alignment finds its uncertainty; leave it out", ("systematics", "alignment")


def placed_mistakes(where: str, placed: LayerPlaces | None, model: AnyModel) -> Iterator[Contradiction]:
    """What does not go together in the numbers of layers with the model."""
    if placed is None or not placed.numbers:
        return
    if not lines_of(model):
        line = f"{where}: needs the model track, track3d or scatter, not {model.name}; leave it out"
        yield line, (where, "model.name")
        return
    for kind, values in placed.numbers.items():
        key = f"{where}.{kind}"
        if kind in IN_VIEWS and not model.views:
            yield f"{key}: model {model.name} measures x alone; leave it out", (key, "model.name")
        elif len(values) != model.layer_count:
            line = f"{key}: has {len(values)} values, but model {model.name} has {model.layer_count} layers"
            yield line, (key, "model.name", "model.z", "model.z_upper", "model.z_lower")


def _wrong_free(alignment: Alignment, model: AnyModel) -> Iterator[Contradiction]:
    last = model.layer_count - 1
    for each in alignment.reference or ():
        if each > last:
            yield f"alignment.reference: there is no layer {each}; layers are 0 to {last}", ("alignment.reference",)
    unseen = [each for each in alignment.free or () if each in IN_VIEWS and not model.views]
    if unseen:
        line = f"alignment.free: model {model.name} measures x alone; leave {' and '.join(unseen)} out"
        yield line, ("alignment.free", "model.name")


MODES = {
    "x": ("shift in x", "shear in x (shift ∝ z)"),
    "y": ("shift in y", "shear in y (shift ∝ z)"),
    "rotation": ("rotation", "twist (rotation ∝ z)"),
    "scale_x": ("stretch in x", "stretch in x ∝ z"),
    "scale_y": ("stretch in y", "stretch in y ∝ z"),
}
"""What all layers of a line may do together, the same everywhere and ∝ z, without a change of any residual."""


def _weak_modes(alignment: Alignment, model: AnyModel) -> Iterator[Contradiction]:
    """Modes of the layers of a line that no reference fixes."""
    fixed, kinds, lines = references(alignment, model), free_kinds(alignment, model), lines_of(model)
    keys = ("alignment.reference", "alignment.free", "model.z", "model.z_upper", "model.z_lower")
    for line in lines:
        heights = {line[layer] for layer in fixed if layer in line}
        if len(heights) > 1 or {*line} <= {*fixed}:
            continue
        modes = [mode for kind in kinds for mode in MODES[kind][len(heights) :]]
        where = f" of the layers {min(line)} to {max(line)}" if len(lines) > 1 else ""
        held = "hold two layers at different heights" + (" above and two below the volume" if len(lines) > 1 else "")
        yield f"alignment.reference: {fixed} leaves free{where}: {', '.join(modes)}; {held}", keys
    if not free_parameters(alignment, model):
        yield f"alignment.reference: {fixed} are all layers; leave out those to align", keys
