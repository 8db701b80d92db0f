"""Names of kept columns that are refused, since they are those of results."""

from pathlib import Path
from types import SimpleNamespace

import h5py
import numpy as np
import pytest
from hit_files import write
from running import Run

from pullback.errors import ConfigError
from pullback.models import load_model
from pullback.study.kept_columns import check_kept
from pullback.study.plan import Study

MODEL = load_model(SimpleNamespace(name="one_hit", dz=1.0))


@pytest.mark.parametrize(
    ("keep", "expected"),
    [
        (["x_reco"], "'x_reco' is the name of a result; rename the column in the file, or leave it out"),
        (["event", "theta"], "'theta' is the name of a result"),
        (["sigma/theta"], "'sigma/theta', sigma_theta in results, is the name of a result"),
        (["x_reco_x"], "'x_reco_x' is the name of a result"),
        (["muon"], "'muon' is the name of a result"),
        (["interval68_theta_low"], "'interval68_theta_low' is the name of a result"),
        (["hit_z"], "'hit_z' is the name of a result"),
        (["theta_mrad"], "'theta_mrad' is the name of a result"),
        (["sigma theta_urad"], "'sigma theta_urad', sigma_theta_urad in results, is the name of a result"),
        (["theta_squared_mrad2"], "'theta_squared_mrad2' is the name of a result"),
        (["momentum_GeV_per_c"], "'momentum_GeV_per_c' is the name of a result"),
        (["a/b", "a_b"], "'a/b', a_b in results, has the name of another kept column"),
        (["//"], "'//' has no letter or digit for its name in results"),
    ],
)
def test_names_of_results_are_refused(keep, expected):
    with pytest.raises(ConfigError) as caught:
        check_kept(keep, MODEL)
    assert str(caught.value).startswith(f"config: source.keep: {expected}")


def test_other_names_are_kept():
    check_kept(
        ["event_number", "run", "x_recorded", "theta2", "muons", "hit[0]", "hit[1]", "theta_mm", "chi2_m"], MODEL
    )


def test_every_result_of_a_study_is_refused():
    raw = {
        "study": "s",
        "source": {"kind": "recorded", "file": write("csv", {"x": np.linspace(-0.1, 1, 60)})},
        "systematics": {"model.dz": 0.01},
        "toys": {"muons": 20, "per_muon": 200},
    }
    run = Run(raw, Path("made")).make()
    names = []
    with h5py.File(run.folder / "study.h5") as file:
        names += file["nominal"]
    assert len(names) > 20
    for name in names:
        with pytest.raises(ConfigError, match="is the name of a result"):
            check_kept([name], MODEL)


def test_a_column_is_kept_once():
    source = {"kind": "recorded", "file": write("csv", {"x": np.ones(3), "n": np.ones(3)}), "keep": ["n", "n"]}
    with pytest.raises(ConfigError, match=r"^config: source\.keep: 'n' is listed twice$"):
        Study.from_config({"study": "s", "source": source})
