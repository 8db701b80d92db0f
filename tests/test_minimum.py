"""The lowest versions that the package allows: the numbers of a study are those of the versions that are pinned.

In CI all fast tests run with the lowest versions. Here it takes an environment with them, which is not made: without
torch's own index, torch comes with several GB of CUDA. Make one, and name its Python, by
    uv venv lowest && uv pip install --python lowest --torch-backend=cpu --resolution=lowest-direct .
    PULLBACK_LOWEST_PYTHON=lowest/bin/python pytest tests/test_minimum.py
"""

import os
import shutil
import subprocess

import h5py
import numpy as np
import pytest
from running import PROJECT, Run
from test_project import requirements

from pullback.config.text import read_config

LOWEST = os.environ.get("PULLBACK_LOWEST_PYTHON")


def columns(study):
    """Every column of floats in a `study.h5`, by path."""
    found = {}
    with h5py.File(study) as file:
        file.visititems(lambda name, each: found.update({name: each[()]}) if isinstance(each, h5py.Dataset) else None)
    return {name: values for name, values in found.items() if values.dtype.kind == "f"}


@pytest.mark.slow
@pytest.mark.skipif(not LOWEST, reason="PULLBACK_LOWEST_PYTHON names no Python with the lowest versions")
def test_the_lowest_versions_give_the_same_numbers(tmp_path, monkeypatch):
    python = os.path.abspath(LOWEST)
    command = [python, "-c", "import torch; print(torch.__version__)"]
    torch = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert ".".join(torch.split(".")[:2]) == requirements()["torch"].removeprefix(">=")
    for name in ("recorded.yaml", "hits.csv"):
        (tmp_path / "config").mkdir(exist_ok=True)
        shutil.copy(PROJECT / "config" / name, tmp_path / "config")
    command = [python, "-m", "snakemake", "--snakefile", PROJECT / "Snakefile", "--cores", "1"]
    environment = {**os.environ, "PYTHONPATH": str(PROJECT / "src")}
    command += ["--configfile", "config/recorded.yaml"]
    subprocess.run(command, cwd=tmp_path, env=environment, check=True, timeout=240)
    there = columns(tmp_path / "results/recorded/study.h5")
    monkeypatch.chdir(tmp_path)
    here = columns(Run(read_config("config/recorded.yaml"), tmp_path / "here").make().outputs.study)
    assert here.keys() == there.keys()
    assert "nominal/sigma_theta" in here
    for name, values in here.items():
        np.testing.assert_allclose(there[name], values, rtol=1e-9, err_msg=name)
