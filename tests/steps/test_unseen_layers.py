"""Layers without the hits that their alignment needs are named, before any equation is solved."""

import numpy as np
import pytest
from typechecker import unchecked

from pullback.config.alignment_schema import free_parameters
from pullback.errors import PullbackError
from pullback.steps.aligning import align
from pullback.steps.unseen_layers import refuse_unseen
from pullback.study.aligning import placed_coordinates
from pullback.study.plan import Study
from pullback.uncertainty.alignment import Parameter

Z = [0.0, 1.0, 2.0, 3.0]


def refused(alignment, missing, model="track3d"):
    """What is said of 30 muons without the hits in some coordinates."""
    study = Study.from_config({"study": "s", "model": {"name": model, "z": Z}, "alignment": alignment})
    of = placed_coordinates(study.model)
    hits = np.zeros((30, len(of.layer)))
    hits[:, missing] = np.nan
    free = [Parameter(*each) for each in free_parameters(study.config.alignment, study.config.model)]
    with pytest.raises(PullbackError) as error:
        refuse_unseen(study, free, of, hits)
    assert "\n" not in str(error.value)
    return str(error.value)


def accepted(alignment, missing):
    with pytest.raises(pytest.fail.Exception):
        refused(alignment, missing)


@pytest.mark.parametrize(
    ("alignment", "missing", "message"),
    [
        ({}, [1, 5], "layer 1 has no hit (30 muons); hold the layer by alignment.reference"),
        ({"free": ["x"]}, [1, 2, 5, 6], "layer 1 has no hit; layer 2 has no hit (30 muons); hold the layers by"),
        ({}, [1], "layer 1 has hits in y alone (30 muons); leave x and rotation out of alignment.free, or hold the"),
        (
            {"free": ["rotation"]},
            [6],
            "layer 2 has hits in x alone (30 muons); leave rotation out of alignment.free,",
        ),
        (
            {"free": ["scale"]},
            [6],
            "layer 2 has hits in x alone (30 muons); leave scale out of alignment.free, or",
        ),
        ({"free": ["y", "x"]}, [6], "layer 2 has hits in x alone (30 muons); leave y out of alignment.free, or hold"),
        ({"reference": [1, 2]}, [0, 4], "layer 0 has no hit (30 muons)"),
    ],
)
def test_what_a_layer_lacks_is_said(alignment, missing, message):
    assert message in refused(alignment, missing)


def test_a_layer_of_one_view_has_no_other():
    assert "layer 2 has no hit" in refused({}, [2], "track")


@pytest.mark.parametrize(
    ("alignment", "missing"),
    [({"free": ["x"]}, [5]), ({"reference": [0, 1, 3]}, [1, 5]), ({}, [0, 4]), ({}, []), ({"free": ["y"]}, [1, 2])],
)
def test_what_is_not_needed_may_be_missing(alignment, missing):
    accepted(alignment, missing)


def test_a_layer_with_a_name_is_called_by_it(tmp_path):
    rows = [(event, name) for event in range(100) for name in ("top", "low", "end")]
    lines = ["event,plane,x,y", *(f"{event},{name},{event / 100},0" for event, name in rows)]
    (tmp_path / "hits.csv").write_text("\n".join(lines) + "\n")
    columns = {"layout": "long", "event": "event", "layer": "plane", "x": "x", "y": "y"}
    names = ["top", "middle", "low", "end"]
    raw = {
        "study": "s",
        "source": {"kind": "recorded", "file": "hits.csv", **columns, "layers": names},
        "model": {"name": "track3d", "z": Z},
        "alignment": {},
    }
    with pytest.raises(PullbackError, match=r"alignment: layer 1 \(middle\) has no hit \(100 muons\)"), unchecked():
        align(Study.from_config(raw), tmp_path / "a.json")
    assert not (tmp_path / "a.json").exists()
