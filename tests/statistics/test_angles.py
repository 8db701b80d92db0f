import math

import numpy as np
import pytest
import torch

from pullback.statistics.angles import wrap, wrap_last

TURN = 2 * math.pi


@pytest.mark.parametrize("kind", [np.array, lambda values: torch.tensor(values, dtype=torch.float64)])
def test_differences_go_the_shorter_way_round(kind):
    away = [0.0, 0.1, -0.1, 3.0, -3.0, 3.3, -3.3, TURN, TURN + 0.2, -7 * TURN - 0.2]
    expected = [0.0, 0.1, -0.1, 3.0, -3.0, 3.3 - TURN, TURN - 3.3, 0.0, 0.2, -0.2]
    found = wrap(kind(away), TURN)
    assert type(found) is type(kind(away))
    np.testing.assert_allclose(np.asarray(found), expected, atol=1e-13)


def test_other_periods():
    np.testing.assert_allclose(wrap(np.array([350.0, -190.0, 90.0]), 360.0), [-10.0, 170.0, 90.0])


def test_without_a_period_nothing_is_wrapped():
    away = np.array([100.0, -100.0])
    assert wrap(away, 0.0) is away


def test_what_is_not_known_stays_so():
    assert np.isnan(wrap(np.array([np.nan, 1.0]), TURN)).tolist() == [True, False]


def test_each_index_of_the_last_axis_has_its_own_period():
    away = torch.tensor([[[6.0, 6.0], [-6.0, -6.0]]], dtype=torch.float64)
    found = wrap_last(away.clone(), (0.0, TURN))
    torch.testing.assert_close(found[..., 0], away[..., 0], rtol=0, atol=0)
    assert found[..., 1].flatten().tolist() == pytest.approx([6 - TURN, TURN - 6])
    torch.testing.assert_close(wrap_last(away.clone(), None), away, rtol=0, atol=0)
