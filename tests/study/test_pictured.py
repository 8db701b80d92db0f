import numpy as np

from pullback.study.pictured import pictured


def test_all_blocks_of_a_small_study():
    assert pictured(1) == [0]
    assert pictured(64) == list(range(64))


def test_as_many_of_a_large_one_all_along():
    for total in (65, 100, 1000, 7630):
        found = pictured(total)
        assert len(found) == 64
        assert found[0] == 0
        assert total - found[-1] <= -(-total // 64)
        steps = np.diff(found)
        assert steps.min() >= 1
        assert steps.max() - steps.min() <= 1
