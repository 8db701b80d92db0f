"""Momenta of recorded muons, where the layers scatter by their material."""

from pathlib import Path

import numpy as np
import pytest
from running import Run

from pullback.errors import HitsError

RAW = {
    "study": "s",
    "source": {"kind": "recorded", "file": "hits.csv", "momentum_column": "p"},
    "model": {"name": "track", "z": [0, 0.5, 1], "material": [0.02, 0.01, 0.02]},
    "toys": {"muons": 2, "per_muon": 20},
}


def write(*momenta):
    rows = [f"0.1,0.2,0.{place + 1},{each}" for place, each in enumerate(momenta)]
    Path("hits.csv").write_text("\n".join(["x0,x1,x2,p", *rows]) + "\n")


def test_the_column_of_momenta_is_enough(tmp_path):
    write(1, 4, 1)
    found = Run(RAW, tmp_path / "out").make().columns("nominal")["sigma_slope"]
    assert np.isfinite(found).all()
    assert found[0] == found[2] > found[1]


def test_an_empty_momentum_needs_another(tmp_path):
    write(1, "", 2)
    with pytest.raises(
        HitsError, match=r"hits\.csv: column 'p' has 1 empty cells; set model\.momentum, the momentum of"
    ):
        Run(RAW, tmp_path / "out").make()
    raw = {**RAW, "model": {**RAW["model"], "momentum": 3.0}}
    assert np.isfinite(Run(raw, tmp_path / "with").make().columns("nominal")["sigma_slope"]).all()


@pytest.mark.parametrize("scattering", [{"material": 0.01}, {"theta0": 0.001, "theta0_momentum": 2}])
def test_simulated_momenta_are_once_in_the_study_and_its_report(scattering, tmp_path, block):
    source = {"muons": 2500, "cosmic": {"momentum": 3}}
    raw = {**RAW, "source": source, "model": {"name": "track", "z": [1, 0, 0.5], **scattering}}
    run = Run({**raw, "compute": {"batch_cost": 1}}, tmp_path).make().show()
    found = run.columns("nominal")
    assert len(run.study.batches) > 1
    assert found["momentum"].tolist() == [3.0] * 2500
    assert len(found["sigma_slope"]) == 2500
