"""Shapes and types checked at run time, a folder for each test, and fixtures."""

import os
from pathlib import Path

import pytest
import torch  # before pullback, so that `Tensor` in its signatures is the real class
from hypothesis import settings
from jaxtyping import install_import_hook

# Every annotation of the package is checked at every call.
install_import_hook("pullback", "typechecker.check")

from running import Workflow  # noqa: E402

from pullback.study import blocks  # noqa: E402

torch.set_num_threads(1)

# Machines differ in speed, and a slow one is no failure.
settings.register_profile("any_machine", deadline=None)
settings.load_profile("any_machine")


@pytest.fixture
def workflow(tmp_path: Path) -> Workflow:
    return Workflow(tmp_path)


@pytest.fixture
def block(monkeypatch: pytest.MonkeyPatch) -> int:
    """Muons per block: few, so that a small study has several blocks."""
    monkeypatch.setattr(blocks, "BLOCK", 1000)
    return blocks.BLOCK


@pytest.fixture(autouse=True)
def _own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    """Relative paths of configs start in the test's own folder."""
    if request.node.path.name.startswith("test_"):
        monkeypatch.chdir(tmp_path)
    os.environ.pop("SNAKEMAKE_PROFILE", None)
