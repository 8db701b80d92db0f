"""Functions of a user's file that say how well the hits agree with the fit."""

import textwrap
from pathlib import Path

import numpy as np
import pytest
import torch

from pullback import PullbackError
from pullback.config.own_schema import Own
from pullback.models import has_fit, load_model
from pullback.models.user_checks import check_fit_functions

HITS = torch.from_numpy(np.random.default_rng(1).normal(size=(20, 3)))
INFER = """
import torch

def infer(hits, z):
    return hits[:, :1]
"""
LINE = """
def fitted(hits, z):
    d = z - z.mean()
    slope = (hits * d).sum(1, keepdim=True) / d.square().sum()
    return hits.mean(1, keepdim=True) + slope * d
"""


@pytest.fixture(autouse=True)
def _in_a_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def model_of(code: str, **functions: str):
    Path("fits.py").write_text(INFER + textwrap.dedent(code), encoding="utf-8")
    section = {
        "file": "fits.py",
        "coordinates": ["x0", "x1", "x2"],
        "observables": [{"name": "first", "unit": "m", "fold": "none"}],
        "parameters": {"z": [0.0, 1.0, 2.0]},
    }
    return load_model(Own.model_validate({**section, **functions}))


def refused(code: str, **functions: str) -> str:
    with pytest.raises(PullbackError) as caught:
        check_fit_functions(model_of(code, **functions), HITS)
    return str(caught.value)


def test_a_model_knows_its_fit():
    model = model_of(LINE, fitted="fitted")
    assert has_fit(model)
    assert model.fitted_uses == ("z",)
    check_fit_functions(model, HITS)
    both = model_of(LINE + "\ndef chi2(hits):\n    return hits[:, :2] ** 2\n", fitted="fitted", chi2="chi2")
    check_fit_functions(both, HITS.clamp(-1, 1))
    assert both.chi2_uses == ()
    assert not has_fit(model_of(""))
    check_fit_functions(model_of(""), HITS)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("return hits[:, :2]", "must return a tensor (muon, coordinate)"),
        ("return hits.mean(1)", "must return a tensor (muon, coordinate)"),
        ("return hits - hits.mean()", "couples muons"),
        ("return hits.detach() * 1.0", "hits"),
        ("return hits.detach() + 0.1 * hits", "breaks the graph: the derivative of the fitted x0 by the hits x0"),
        ("return torch.rand_like(hits) + hits", "gives another result at the second call"),
        ("return hits.float()", "must return float64"),
    ],
)
def test_fitted_positions_that_can_not_be_relied_on_are_refused(body, reason):
    message = refused(f"def fitted(hits):\n    {body}\n", fitted="fitted")
    assert reason in message
    assert message.startswith("fits.py:6: fitted")


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("return (hits ** 2).sum(1)", "must return a tensor (muon, 2)"),
        ("return torch.stack([-hits[:, 0] ** 2, hits[:, 0] ** 0], 1)", "returns a negative χ²"),
        ("return torch.stack([hits[:, 0] ** 2, 4 * hits[:, 0] ** 0], 1)", "negative or more than the hits"),
    ],
)
def test_what_is_no_chi2_is_refused(body, reason):
    message = refused(f"def chi2(hits):\n    {body}\n", chi2="chi2")
    assert reason in message
    assert message.startswith("fits.py:6: chi2")
