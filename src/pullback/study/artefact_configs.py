"""What each kind of artefact is made from: sections of a point's config. An artefact is remade when they change."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal, TypeVar

from pydantic import Field

from ..config.alignment_schema import Alignment
from ..config.base import Section
from ..config.detector_schema import Detector
from ..config.model_base import ModelSection
from ..config.model_schema import AnyModel, OneHit, Scatter, Track, Track3d
from ..config.own_schema import Own
from ..config.schema import CoverageSettings, ToySettings, Uncertainty
from ..config.source_schema import Recorded, Simulated


class OneHitName(ModelSection):
    """The name alone: true hits of `one_hit` do not depend on its parameters."""

    name: Literal["one_hit"] = "one_hit"


class RandomDevice(Section):
    """Whether toys use the random numbers of a GPU, without the division into jobs and the device."""

    device_random: bool


class Storage(Section):
    """How what is quoted is stored."""

    storage: Literal["lossless", "compact"]


class RandomDeviceAndStorage(RandomDevice, Storage):
    """Both, for what is made from toys and from what is quoted."""


class LinearDomain(Section):
    """An edge of the bins of a tally, without the criteria of the verdict."""

    domain: float


ModelOfTruth = Annotated[OneHitName | Track | Track3d | Scatter | Own, Field(discriminator="name")]
PARTIAL: tuple[type[Section], ...] = (RandomDevice, Storage, RandomDeviceAndStorage, LinearDomain)
"""Sections of which an artefact depends on a few keys only."""


class ArtefactConfig(Section):
    """What every artefact is made from."""

    whole_model: ClassVar[bool] = True

    seed: int
    random_numbers: Literal["common", "independent"]
    source: Annotated[Simulated | Recorded, Field(discriminator="kind")]
    model: OneHitName | AnyModel


class TruthConfig(ArtefactConfig):
    """What true hits are made from."""

    whole_model: ClassVar[bool] = False

    model: ModelOfTruth


class DetectedConfig(ArtefactConfig):
    """What everything that follows the detector is made from."""

    detector: Detector
    alignment: Alignment | None


class RecoConfig(DetectedConfig):
    """What recorded hits are made from."""

    whole_model: ClassVar[bool] = False

    model: ModelOfTruth


class ThetaConfig(DetectedConfig):
    """What the observables are made from."""

    model: AnyModel


class FitsConfig(RecoConfig):
    """What residuals of fits are made from."""


class SharedConfig(ThetaConfig):
    """What everything with systematics is made from."""

    systematics: dict[str, Any]


class SigmaConfig(SharedConfig):
    """What uncertainties are made from."""

    uncertainty: Uncertainty
    compute: Storage


class ToysConfig(SharedConfig):
    """What toys are made from."""

    toys: ToySettings
    compute: RandomDevice


class CoverageConfig(SigmaConfig):
    """What toys around true hits are made from."""

    coverage: CoverageSettings


class TallyConfig(ToysConfig, CoverageConfig):
    """What a tally is made from: all other artefacts."""

    compute: RandomDeviceAndStorage
    validation: LinearDomain


A = TypeVar("A", bound=ArtefactConfig)


def restricted(config: Section, kind: type[A]) -> A:
    """The sections that a kind of artefact is made from; being valid already, they are not validated again."""
    found = {name: getattr(config, name) for name in kind.model_fields}
    for name, field in kind.model_fields.items():
        if (kept := field.annotation) in PARTIAL:
            found[name] = kept.model_construct(**{each: getattr(found[name], each) for each in kept.model_fields})
    if not kind.whole_model:
        found["model"] = _of_hits(found["model"])
    made = kind.model_construct(**found)
    assert isinstance(made, kind)  # pydantic's plugin of mypy takes it for the bound of A
    return made


def _of_hits(model: ModelSection) -> ModelSection:
    """The section of a model without what hits and their fit do not depend on."""
    if isinstance(model, OneHit):
        return OneHitName()
    return model.model_copy(update={"at": []}) if getattr(model, "at", None) else model


KINDS: dict[str, type[ArtefactConfig]] = {
    "truth": TruthConfig,
    "reco": RecoConfig,
    "theta": ThetaConfig,
    "fits": FitsConfig,
    "sigma": SigmaConfig,
    "toys": ToysConfig,
    "coverage": CoverageConfig,
    "tally": TallyConfig,
}
"""The kinds of artefacts."""
