"""Section of the config for the detector: resolution, efficiency and noise."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from .alignment_schema import Misalignment
from .base import VIEWS, Clash, Metres, NumberPerLayer, NumberPerLayerOrView, Section
from .units import validator

NARROWEST_PITCH = 1e-12
"""Smallest pitch of strips, m; about that of the finest resolution, so that 1/pitch is finite."""


class GaussianNoise(Section):
    """Gaussian noise, as propagation assumes."""

    kind: Literal["gaussian"] = Field("gaussian", description="Gaussian, as propagation assumes")


class StripNoise(Section):
    """Uniform noise: the centre of the hit strip, wherever the strips lie."""

    kind: Literal["strip"] = Field("strip", description="uniform: the centre of the hit strip")
    pitch: Metres = Field(
        0.0,
        ge=0,
        le=1e6,
        description="strip pitch, at least 1e-12 m; 0 means √12/resolution, for which the stated resolution is correct",
    )

    @field_validator("pitch")
    @classmethod
    def _of_some_width(cls, pitch: float) -> float:
        if 0 < pitch < NARROWEST_PITCH:
            raise ValueError(f"is {pitch:g}; it should be 0, or greater than or equal to {NARROWEST_PITCH:g} m")
        return pitch


class TailsNoise(Section):
    """Gaussian noise, wider for a fraction of the hits."""

    kind: Literal["tails"] = Field("tails", description="Gaussian, wider for a fraction of the hits")
    fraction: float = Field(0.05, ge=0, le=1, description="fraction of hits with the wider noise")
    width: float = Field(5.0, ge=1, le=1e6, description="ratio of the wider σ to the stated σ")


class ClippedNoise(Section):
    """Gaussian noise without hits beyond a limit."""

    kind: Literal["clipped"] = Field("clipped", description="Gaussian, truncated at ± `clip`")
    clip: float = Field(2.0, ge=0.01, le=8, description="largest deviation of a hit, in units of the stated σ")


def _or_its_kind(schema: dict[str, Any]) -> None:
    """Allow a section with a kind to be given in the schema by its kind alone."""
    section = {key: schema.pop(key) for key in ("oneOf", "discriminator")}
    schema["anyOf"] = [{"type": "string", "enum": list(section["discriminator"]["mapping"])}, section]


class Detector(Section):
    """Response of the detector."""

    resolution: Annotated[NumberPerLayer[Annotated[float, Field(ge=1e-6, le=1e12)]] | None, validator("1/m")] = Field(
        100.0,
        description="stated 1/σ_x, used by propagation: 100 means 1 cm; a number, or a list with one number per layer",
        json_schema_extra={"unit": "1/m"},
    )
    sigma: Annotated[NumberPerLayerOrView[Annotated[float, Field(ge=1e-12, le=1e6)]] | None, validator("m")] = Field(
        None,
        description="stated σ_x, in place of `resolution`: a number, a list with one number per layer, or one of these "
        "for each view, `{x: 72 um, y: 14.4 um}`",
        json_schema_extra={"unit": "m"},
    )
    efficiency: NumberPerLayerOrView[Annotated[float, Field(gt=0, le=1)]] = Field(
        1.0,
        description="fraction of simulated hits that are recorded; a number, or a list with one number per layer: a "
        "layer is lost with all its hits; or one of these for each view, `{x: 0.98, y: [0.9, 0.95, 0.9]}`, whose hits "
        "are lost independently",
    )
    noise: Annotated[GaussianNoise | StripNoise | TailsNoise | ClippedNoise, Field(discriminator="kind")] = Field(
        GaussianNoise(),
        description="true shape of the noise in simulated hits and toys: a kind, or a section",
        json_schema_extra=_or_its_kind,
    )
    misalignment: Misalignment | None = Field(
        None, description="where the layers of a simulated detector really are; propagation does not know it"
    )

    @property
    def stated(self) -> dict[str, float | list[float]]:
        """What is stated of the widths of hits, by key: `resolution`, `sigma`, or `sigma.x` and `sigma.y`."""
        if self.resolution is not None:
            return {"resolution": self.resolution}
        assert self.sigma is not None
        if isinstance(self.sigma, dict):
            return {f"sigma.{view}": each for view, each in sorted(self.sigma.items())}
        return {"sigma": self.sigma}

    @property
    def efficiencies(self) -> dict[str, float | list[float]]:
        """The efficiencies, by key: `efficiency`, or `efficiency.x` and `efficiency.y`."""
        if isinstance(self.efficiency, dict):
            return {f"efficiency.{view}": each for view, each in sorted(self.efficiency.items())}
        return {"efficiency": self.efficiency}

    @model_validator(mode="before")
    @classmethod
    def _both_views(cls, detector: Any) -> Any:
        for key in ("sigma", "efficiency"):
            given = detector.get(key) if isinstance(detector, dict) else None
            if isinstance(given, dict) and {*given} < {*VIEWS}:
                without = " and no ".join(view for view in VIEWS if view not in given)
                raise Clash((f"{key}: has no {without}; give both views", (key,)))
        return detector

    @model_validator(mode="before")
    @classmethod
    def _one_of_both(cls, detector: Any) -> Any:
        """Leave out the default of `resolution` where σ is given; null is taken as absent."""
        if not isinstance(detector, dict):
            return detector
        given = {
            key: value for key, value in detector.items() if value is not None or key not in ("resolution", "sigma")
        }
        if "sigma" not in given:
            return given
        if "resolution" in given:
            line = "has both sigma and resolution, which is 1/σ; give one of them, and set the other to null"
            raise Clash((line, ("sigma", "resolution")))
        return {**given, "resolution": None}

    @field_validator("noise", mode="before")
    @classmethod
    def _by_its_name(cls, noise: Any) -> Any:
        return {"kind": noise} if isinstance(noise, str) else noise
