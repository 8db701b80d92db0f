"""`target.json`: the values of one number that give the wanted mean σ."""

from __future__ import annotations

from pydantic import Field

from .evidence_file import EvidenceFile, Number, Record


class TargetAnswer(Record):
    """The value found at the scan points that differ only in the number that is varied."""

    values: dict[str, float]
    """The other scanned values of these points."""
    value: float | None = None
    """The value that gives the wanted mean σ, if it is reached."""
    reached: bool
    nearest: Number
    """The value that comes nearest, and the mean σ there."""
    nearest_sigma: Number
    further: list[float] = Field(default_factory=list)
    """Other values that were seen to give the wanted mean σ, all farther from the present one."""
    known: int = 0
    """The muons with a σ at the nearest value, over which the mean is taken."""
    muons: int = 0
    """All muons that were quoted."""
    start: float
    """The value in the config, and the mean σ there."""
    start_sigma: Number
    grid: list[float]
    """The values that were tried, and the mean σ at each."""
    sigmas: list[Number]


class TargetAnswers(EvidenceFile):
    """What was wanted, and the answer at each scan point."""

    observable: str
    wanted: float
    vary: str
    """The number that is varied."""
    unit: str = ""
    """Its unit."""
    units: dict[str, str] = Field(default_factory=dict)
    """The units of the scanned values, by name; none for counts and ratios."""
    answers: list[TargetAnswer]
