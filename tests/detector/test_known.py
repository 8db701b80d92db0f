import numpy as np

from pullback.detector.known import NOTHING_KNOWN, Known


def test_what_is_unknown_stays_unknown():
    known = Known(momentum=np.array([1.0, 2.0, 3.0])).each(lambda values: values[1:])
    assert known.covariance is None
    assert known.momentum.tolist() == [2.0, 3.0]


def test_parts_are_joined_in_their_order():
    parts = [Known(np.ones((1, 2)), np.array([1.0])), Known(np.zeros((2, 2)), np.array([2.0, 3.0]))]
    joined = Known.joined(parts)
    assert joined.covariance.tolist() == [[1, 1], [0, 0], [0, 0]]
    assert joined.momentum.tolist() == [1, 2, 3]
    assert Known.joined([Known(), Known()]) == NOTHING_KNOWN
