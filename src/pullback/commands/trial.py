"""A trial of a study on a few muons before it is run, and a reading of its file: for mistakes that only a run shows."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

from ..config.source_schema import Recorded
from ..errors import ModelError, PullbackError
from ..report.formats import count
from ..steps.common import hits_file
from ..steps.fits import fit_residuals
from ..steps.importing import check_momenta, import_hits
from ..steps.infer import infer_theta
from ..steps.propagate import propagate_uncertainty
from ..steps.simulate import simulate_hits, smear_hits
from ..study.blocks import BLOCK
from ..study.plan import Study

MUONS_TRIED = 100
"""Muons of the first point on which all functions are tried."""

SMALL_FILE = 50e6
"""Bytes up to which all rows of a file of hits are read."""


def try_few(study: Study) -> None:
    """Simulate or import the first muons of the first point, infer and propagate, by the steps of a run.

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
            _run(few, name, {kind: Path(folder, f"{kind}.h5") for kind in few.kinds})
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


def read_file_of(study: Study) -> str:
    """Read the muons of a file of recorded hits, of a large one the first; what was read, in words; "" if simulated.

    Raises
    ------
    HitsError
        A cell is not a number, or no hit, uncertainty or momentum.

    """
    source = study.config.source
    if not isinstance(source, Recorded):
        return ""
    part = study.first_part(study.points[0].label)[0]
    muons = part.muons
    read = muons if Path(source.file).stat().st_size <= SMALL_FILE else min(BLOCK, muons)
    for found in hits_file(part).blocks(0, read, BLOCK):
        if found.momentum is not None:
            check_momenta(part, found.momentum)
    if read < muons:
        return f"the first {count(read)} of its {count(muons)} muons were read"
    return f"all of its {count(muons)} muons were read" if muons > 1 else "its only muon was read"
