"""`alignment.json`: where the layers of a detector are, as found from its tracks."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ..config.alignment_schema import Alignment
from ..errors import ArtefactError, ConfigError
from ..files import check_regular
from ..study.aligning import Aligned
from ..study.plan import Study
from ..uncertainty.placement import Kind
from .evidence_file import EvidenceFile, Number, Record

SAME_HEIGHT = 1e-6
"""Largest difference of the heights of a layer, m, for which an alignment is used."""


NO_ALIGNMENT = "no file of an alignment"
"""What a file may be that the config names."""

NAME_ANOTHER = (
    "name the alignment.json of an earlier study, in its folder of results, or the output of pullback calibrate"
)
"""What to do about it: the file is the user's own."""


class AlignedNumber(Record):
    """A number that tracks determine, with its standard error."""

    name: str
    """Dotted name, as of a systematic: `alignment.x[1]`."""
    kind: Kind
    """`x` and `y` (m), `rotation` (rad) about z, `scale_x` or `scale_y` (relative)."""
    layer: int
    unit: str
    value: float
    """How the layer deviates from where it is stated to be: hits are corrected to r = R(rotation) (1 + scale) h + d."""
    se: float


class ResidualsOfCoordinate(Record):
    """Unbiased residuals, hit minus prediction of the other hits, in the unit of the coordinate."""

    name: str
    hits: int
    """Hits of right tracks."""
    mean: Number
    """Mean over right tracks."""
    sd: Number
    """Standard deviation over right tracks."""
    median: Number
    """Median over all tracks, wrong ones too."""
    width: Number
    """Half of the central 68.27 % of all tracks."""


class Agreement(Record):
    """How well tracks fit, before or after alignment."""

    chi2_per_ndf: Number
    """χ² over degrees of freedom, summed over right tracks."""
    median_chi2_per_ndf: Number
    """Median over all tracks, wrong ones too."""
    residuals: list[ResidualsOfCoordinate]


class RobustSettings(Record):
    """How wrong tracks are kept from counting."""

    first: str = "Huber's weights beyond the median of χ²"
    then: str = "Tukey's weights of χ² over its scale, the median"
    cut: float
    """Probability of a larger χ², of a right track, at which the weight is 0."""
    smallest_step: float
    """Step over standard error at which the iteration ends."""


class AlignmentFile(EvidenceFile):
    """What was found, and what of."""

    model: str
    """Name of the model."""
    heights: list[float]
    """Height of each layer, m."""
    source: str
    """`recorded` with the name of the file, or `simulated`."""
    source_sha256: str = ""
    """SHA-256 of the file of hits."""
    free: list[Kind]
    reference: list[int]
    """Layers that were held fixed."""
    muons: int
    """Muons that were looked at, from the first one."""
    tracks: int
    """Those with more hits than parameters."""
    weighted: int
    """Those of them with a weight above 0, the right tracks."""
    halves: int = 0
    """Hits of layers that may turn that were left out, since one of their two coordinates was read."""
    iterations: int
    width: float
    """Width of the residuals over the stated one, after alignment, by the median of χ²."""
    robust: RobustSettings
    numbers: list[AlignedNumber]
    covariance: list[list[float]]
    """Covariance of the numbers, in their order; it holds whatever the width of the residuals is."""
    before: Agreement
    after: Agreement

    @property
    def aligned(self) -> Aligned:
        """What the plan of a study needs to know."""
        kinds = dict.fromkeys(each.kind for each in self.numbers)
        corrections = {kind: [0.0] * len(self.heights) for kind in kinds}
        for each in self.numbers:
            corrections[each.kind][each.layer] = each.value
        return Aligned(corrections, [each.name for each in self.numbers], np.array(self.covariance))


def kept_alignment(study: Study) -> AlignmentFile | None:
    """The alignment that was made before and that the config names, if any; checked against the study.

    Raises
    ------
    ConfigError
        It can't be read, or is not of these layers, or the config has systematics of the same names.

    """
    alignment: Alignment | None = study.config.alignment
    if alignment is None or alignment.file is None:
        return None
    where = f"config: alignment.file: {alignment.file}"
    try:
        check_regular(alignment.file, ConfigError)
        found = AlignmentFile.read(alignment.file, NO_ALIGNMENT, NAME_ANOTHER)
    except (ArtefactError, ConfigError) as error:
        raise ConfigError(f"config: alignment.file: {error}") from None
    layers, heights = len(found.heights), heights_of(study)
    if found.model != study.config.model.name:
        raise ConfigError(f"{where}: aligns the model {found.model}, and this is {study.config.model.name}")
    if layers != len(heights):
        raise ConfigError(f"{where}: aligns {layers} layers, and model {found.model} has {len(heights)}")
    for layer, (there, here) in enumerate(zip(found.heights, heights, strict=True)):
        if abs(there - here) > SAME_HEIGHT:
            raise ConfigError(f"{where}: has layer {layer} at {there:g} m, and the config at {here:g} m")
    for name in found.aligned.names:
        if name in study.config.systematics:
            raise ConfigError(f"config: systematics: {name}: is in {alignment.file} with its uncertainty; leave it out")
    if Path(alignment.file).resolve() == Path(f"results/{study.config.study}/alignment.json").resolve():
        raise ConfigError(f"{where}: is made by this study itself; copy it to another place")
    return found


def heights_of(study: Study) -> list[float]:
    """The height of each layer of the study's model, m."""
    return list(study.model.heights[: max(study.model.layers) + 1])
