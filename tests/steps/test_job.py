"""What every job does around its one call."""

import os
import subprocess
import sys
from types import SimpleNamespace

import pytest
import torch

from pullback.errors import HitsError, ModelError
from pullback.steps.job import job


def test_a_job_uses_one_thread_whatever_the_environment_says(tmp_path, monkeypatch):
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        monkeypatch.setenv(name, "2")
    torch.set_num_threads(2)
    try:
        with job(SimpleNamespace(log=[tmp_path / "log"], rule="run_toys")):
            assert torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(1)


def test_torch_that_a_job_imports_later_uses_one_thread_too(tmp_path):
    script = (
        "from types import SimpleNamespace; from pullback.steps.job import job\n"
        f"with job(SimpleNamespace(log=[{str(tmp_path / 'log')!r}], rule='run_toys')):\n"
        "    import torch; print(torch.get_num_threads())\n"
    )
    environment = {**os.environ, "OMP_NUM_THREADS": "2", "MKL_NUM_THREADS": "2"}
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout == "1\n"


def test_the_log_of_an_error_in_a_model_has_its_calls(tmp_path):
    def helper():
        raise ValueError("bad luck")

    def infer():
        try:
            helper()
        except ValueError as error:
            raise ModelError("own.py:2: bad luck") from error

    told = pytest.raises(SystemExit, match=r"^pullback: run_toys: own\.py:2: bad luck \(see .*log\)$")
    with told, job(SimpleNamespace(log=[tmp_path / "log"], rule="run_toys")):
        infer()
    assert ", in helper\n" in (tmp_path / "log").read_text()


def test_the_log_is_named_only_where_it_says_more(tmp_path):
    told = pytest.raises(SystemExit, match=r"^pullback: import_hits: hits\.csv: row 3: 'oops' is not a number$")
    with told, job(SimpleNamespace(log=[tmp_path / "log"], rule="import_hits")):
        raise HitsError("hits.csv: row 3: 'oops' is not a number")
