"""Layers that are dead are named."""

import numpy as np
import pytest
from fitted_hits import TELESCOPE, straight_hits, tally_of

from pullback.config.model_schema import Track
from pullback.config.schema import Validation
from pullback.models import load_model
from pullback.statistics.intervals import Verdict
from pullback.validation.fit_judgement import FitJudge
from pullback.validation.fit_silent import silent_words

MODEL = load_model(Track(z=TELESCOPE))
COORDINATES = {each.name: each for each in MODEL.coordinates}


def judged(hits):
    judge = FitJudge(MODEL, [2e-5] * 6, Validation(), 1, own_sigma=False)
    return judge.result("nominal", tally_of(MODEL, [5e4] * 6, hits))


@pytest.mark.parametrize("cosmic", [False, True])
def test_a_layer_with_the_same_hit_for_all_is_named_alone(cosmic):
    hits = straight_hits(cosmic)
    hits[:, 2] = 3e-3
    entry = judged(hits)
    assert (entry.verdict, entry.constant) == (Verdict.FAIL, ["x2"])
    (reason,) = entry.reasons
    assert reason.startswith("all hits of x₂ are the same: a dead layer, or a wrong column in source")


def test_a_layer_without_hits_is_named_beside_a_pass():
    hits = straight_hits(cosmic=True, muons=5000)
    assert judged(hits).silent == []
    hits[:, 2] = np.nan
    entry = judged(hits)
    assert (entry.silent, entry.constant) == (["x2"], [])
    (words,) = silent_words(entry, COORDINATES)
    assert words.startswith("No track has a hit of x₂: a dead layer")
    assert not any("x₂" in each for each in entry.reasons)
