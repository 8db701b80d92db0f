"""A trial of a study on a few muons before it is run, and a reading of its file: for mistakes that only a run shows."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from ..config.source_schema import Recorded
from ..errors import ModelError, PullbackError
from ..report.formats import count
from ..steps.common import hits_file
from ..steps.fits import fit_residuals
from ..steps.importing import check_momenta, import_hits
from ..steps.infer import infer_theta
from ..steps.propagate import propagate_uncertainty
from ..steps.simulate import simulate_hits, smear_hits
from ..store import artefact
from ..study.blocks import BLOCK
from ..study.plan import Study
from ..validation.fit_estimates import FitEstimates
from ..validation.fit_tally import FitTally
from .recorded_lengths import ReadHits

MUONS_TRIED = 100
"""Muons of the first point on which all functions are tried."""

SMALL_FILE = 50e6
"""Bytes up to which all rows of a file of hits are read."""


class ReadFile(NamedTuple):
    """How much of a file of hits was read, in words, and what is known of its hits; nothing if hits are simulated."""

    words: str = ""
    hits: ReadHits | None = None


def try_few(study: Study) -> FitEstimates | None:
    """Simulate or import the first muons of the first point, infer and propagate, by the steps of a run.

    Returns
    -------
    FitEstimates or None
        What the fits of these muons say; None for a model without fits.

    Raises
    ------
    PullbackError
        In one line, as the run would stop.

    """
    point = study.points[0]
    few = study.changed(study.config, [point], {point.label: min(MUONS_TRIED, study.muons[point.label])})
    (name,) = few.batches
    with TemporaryDirectory(prefix="pullback-check-") as folder:
        try:
            files = {kind: Path(folder, f"{kind}.h5") for kind in few.kinds}
            _run(few, name, files)
            return _estimates(few, name, files["fits"]) if "fits" in files else None
        except PullbackError:
            raise
        except Exception as error:  # as a job of the run: the name of the error and its first line
            reason = next(iter(str(error).splitlines()), "")
            raise ModelError(f"{type(error).__name__}: {reason}") from error


def _run(few: Study, name: str, files: dict[str, Path]) -> None:
    """The steps whose functions may fail, one after the other."""
    truth, reco = files.get("truth"), files["reco"]
    if truth:
        simulate_hits(few.batch("truth", name), truth)
        smear_hits(few.batch("reco", name), truth, reco)
    else:
        import_hits(few.batch("reco", name), reco)
    infer_theta(few.batch("theta", name), reco, files["theta"], truth)
    if "fits" in files:
        fit_residuals(few.batch("fits", name), reco, files["fits"])
    propagate_uncertainty(few.batch("sigma", name), reco, files["sigma"], truth)


def _estimates(few: Study, name: str, fits: Path) -> FitEstimates | None:
    """What the fits say; None without a muon that has degrees of freedom."""
    tally, batch = FitTally(), few.batch("fits", name)
    with artefact.read(fits, batch) as found:
        for part in batch.parts:
            tally.add(found, part)
    estimates = FitEstimates(tally)
    return estimates if estimates.muons > estimates.beyond else None


def read_file_of(study: Study) -> ReadFile:
    """Read the muons of a file of recorded hits, of a large one the first.

    Raises
    ------
    HitsError
        A cell is not a number, or no hit, uncertainty or momentum.

    """
    source = study.config.source
    if not isinstance(source, Recorded):
        return ReadFile()
    part = study.first_part(study.points[0].label)[0]
    muons = part.muons
    read = muons if Path(source.file).stat().st_size <= SMALL_FILE else min(BLOCK, muons)
    hits = ReadHits(len(part.model.coordinates))
    for found in hits_file(part).blocks(0, read, BLOCK):
        hits.add(found.hits)
        if found.momentum is not None:
            check_momenta(part, found.momentum)
    if read < muons:
        return ReadFile(f"the first {count(read)} of its {count(muons)} muons were read", hits)
    every = f"all of its {count(muons)} muons were read"
    return ReadFile(every if muons > 1 else "its only muon was read", hits)
