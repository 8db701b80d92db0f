import itertools

import numpy as np
import pytest

from pullback import random_stream
from pullback.statistics.random import PURPOSES, key_of


def test_a_stream_is_the_same_every_time():
    # Written down, so that results can't change without anybody noticing.
    assert random_stream(1, "truth", 0).random() == 0.08730652476461154
    assert random_stream(1, "noise", 0).standard_normal() == -0.6120718384883286


def test_streams_differ_in_seed_purpose_and_keys():
    names = [*itertools.product((1, 2), PURPOSES, ((), (0,), (1,), (0, 0), (0, 1)))]
    first = {name: random_stream(name[0], name[1], *name[2]).random() for name in names}
    assert len(set(first.values())) == len(names)


def test_truth_and_noise_are_uncorrelated():
    truth, noise = (random_stream(1, purpose, 0).standard_normal(100_000) for purpose in ("truth", "noise"))
    assert abs(np.corrcoef(truth, noise)[0, 1]) < 4 / np.sqrt(100_000)


def test_a_shorter_draw_is_the_beginning_of_a_longer_one():
    # Points with fewer muons share the first muons' numbers.
    np.testing.assert_array_equal(
        random_stream(1, "noise", 0).standard_normal((10, 3)),
        random_stream(1, "noise", 0).standard_normal((20, 3))[:10],
    )


@pytest.mark.parametrize("arguments", [(1, "trth"), (-1, "truth"), (1, "truth", -1), (1, "truth", 2**32)])
def test_mistakes_are_refused(arguments):
    with pytest.raises(ValueError, match=r"unknown purpose|outside"):
        random_stream(*arguments)


def test_keys_of_texts_differ():
    assert key_of("a") != key_of("b")
    assert all(0 <= key < 2**32 for key in key_of("detector.resolution=100"))
