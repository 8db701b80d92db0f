"""Sections of the config for the built-in models, and the choice among all models."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    model_validator,
)

from ..models.planes import MOST_PLANES
from .base import Clash, Metres, NumberPerLayer
from .model_base import ModelSection
from .own_schema import Own
from .slabs import RadiationLengths, of_slabs
from .units import validator

Heights = Annotated[
    list[Annotated[float, Field(ge=-1e6, le=1e6)]],
    Field(min_length=2, max_length=32, json_schema_extra={"unit": "m"}),
    validator("m"),
]


def _listed(heights: Any) -> Any:
    """One height as a list."""
    return [heights] if isinstance(heights, int | float) and not isinstance(heights, bool) else heights


def _distinct(heights: list[float]) -> list[float]:
    if twice := [each for index, each in enumerate(heights) if each in heights[:index]]:
        raise ValueError(f"{twice[0] + 0.0:g} m is a duplicate; give each height once")
    return heights


_Height = Annotated[float, Field(ge=-1e6, le=1e6)]
_Heights = Annotated[list[_Height], Field(max_length=MOST_PLANES)]

Planes = Annotated[
    _Heights,
    Field(json_schema_extra={"unit": "m"}),
    AfterValidator(_distinct),
    BeforeValidator(_listed, json_schema_input_type=_Height | _Heights),
    validator("m"),
]
"""Distinct heights, of which one may stand without brackets."""

OF_PLANES = (
    "heights, in a list or one alone, at which positions on the fitted lines are observables with a σ too: `x_at_0`, "
    "`x_at_1`, … of `track`, also `y_at_0`, … of `track3d`; `x_in_at_0`, `y_in_at_0`, `x_out_at_0`, `y_out_at_0`, … "
    "of the tracks above and below of `scatter`; where layers scatter, of the line that the muon would follow without "
    "that: it does not follow the deflections in the layers above the plane"
)

FROM_ABOVE = "muons fly from large z to small z, so for a beam along +z give all heights with the opposite sign"

OF_MOMENTUM = (
    "momentum that `theta0` belongs to: it scales as 1/(βcp) with the momentum of each muon, where that is known; "
    "default: the same `theta0` for all muons"
)


class OneHit(ModelSection):
    """θ = arctan(|x| / dz)."""

    @property
    def layer_count(self) -> int:
        """Number of layers."""
        return 1

    name: Literal["one_hit"] = Field("one_hit", description="angle from the vertical, from one hit")
    dz: Metres = Field(1.5, ge=1e-6, le=1e6, description="height of the muons' origin above the layer")


class _Lines(ModelSection):
    """Straight lines through layers, which may scatter the muons."""

    name: str
    fit: Literal["gls", "ols"] = Field(
        "gls",
        description="weights of the hits: `gls`, the inverse of their whole covariance, muon by muon, for the smallest "
        "uncertainty; `ols`, by the stated resolution alone",
    )
    theta0: Annotated[NumberPerLayer[Annotated[float, Field(ge=0, le=1)]] | None, validator("rad")] = Field(
        0.0,
        description="standard deviation of the scattering angle per layer, in one view; a number, or a list with one "
        f"number per layer; {FROM_ABOVE}",
        json_schema_extra={"unit": "rad"},
    )
    theta0_momentum: Annotated[float | None, validator("GeV/c")] = Field(
        None, ge=0.1, le=1e5, description=OF_MOMENTUM, json_schema_extra={"unit": "GeV/c"}
    )
    material: Annotated[NumberPerLayer[RadiationLengths] | None, validator("X0"), of_slabs] = Field(
        None,
        description="thickness of the layers in radiation lengths, in place of `theta0`, which follows by Highland "
        "from the momentum of each muon: a number, or thickness and radiation length, `{thickness: 0.3 mm, "
        f"radiation_length: 93.7 mm}}`; one for all layers, or a list by layer; {FROM_ABOVE}",
        json_schema_extra={"unit": "X0"},
    )
    momentum: Annotated[float | None, validator("GeV/c")] = Field(
        None,
        ge=0.1,
        le=1e5,
        description="momentum of recorded muons without one in `source.momentum_column`, for `material`; simulated "
        "muons have their own",
        json_schema_extra={"unit": "GeV/c"},
    )

    @model_validator(mode="before")
    @classmethod
    def _angle_or_material(cls, model: Any) -> Any:
        """Leave out the default of `theta0` where the material is given; null is taken as absent."""
        if not isinstance(model, dict):
            return model
        given = {key: value for key, value in model.items() if value is not None or key not in ("theta0", "material")}
        if "material" not in given:
            return given
        for key in (key for key in ("theta0", "theta0_momentum") if given.get(key) is not None):
            line = f"has both material and {key}: the scattering follows from either; give one, and null for the other"
            raise Clash((line, (key, "material")))
        return {**given, "theta0": None}


class _Line(_Lines):
    """A straight line through several layers."""

    @property
    def layer_count(self) -> int:
        """Number of layers."""
        return len(self.z)

    beside: ClassVar[tuple[str, ...]] = ("cosmic", "beam")

    z: Heights = Field([0.0, 0.5, 1.0], description="height of each layer")
    at: Planes = Field([], description=OF_PLANES)


class Track(_Line):
    """A straight line in one view."""

    name: Literal["track"] = Field("track", description="a straight line through several layers, in one view")


class Track3d(_Line):
    """A straight line in space."""

    views: ClassVar[bool] = True

    name: Literal["track3d"] = Field("track3d", description="a straight line through several layers, in space")


class Scatter(_Lines):
    """Two straight lines, above and below a volume."""

    @property
    def layer_count(self) -> int:
        """Number of layers."""
        return len(self.z_upper) + len(self.z_lower)

    beside: ClassVar[tuple[str, ...]] = ("cosmic", "beam", "volume")
    views: ClassVar[bool] = True

    name: Literal["scatter"] = Field("scatter", description="one line above and one below a scattering volume")
    z_upper: Heights = Field([0.6, 0.8, 1.0], description="height of each layer above the volume")
    z_lower: Heights = Field([-0.6, -0.8, -1.0], description="height of each layer below the volume")
    at: Planes = Field([], description=OF_PLANES)


AnyModel = Annotated[OneHit | Track | Track3d | Scatter | Own, Field(discriminator="name")]
MODELS: dict[str, type[ModelSection]] = {
    each.model_fields["name"].default: each for each in (OneHit, Track, Track3d, Scatter, Own)
}
"""The sections of models by name; the first is the default."""
