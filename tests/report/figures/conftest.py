"""Studies that the tests of several figures share."""

from types import SimpleNamespace

import numpy as np
import pytest
from pictured import SIGMA_X, SIGMA_Y, Z, recorded_study, tracks


@pytest.fixture(scope="session")
def telescope(tmp_path_factory):
    """Recorded tracks in space, with missing hits and a layer that moves."""
    hits = tracks(np.random.default_rng(5))
    sigma = {"x": SIGMA_X, "y": SIGMA_Y}
    run = recorded_study(
        tmp_path_factory.mktemp("telescope"), hits, {"name": "track3d", "z": Z}, {"resolution": None, "sigma": sigma}
    )
    return SimpleNamespace(run=run, hits=hits, columns=run.columns("nominal"))
