import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pullback.statistics.exact_sum import ExactSum

DOUBLES = st.floats(allow_nan=False, allow_infinity=False)
ANY = st.lists(st.floats(width=64), max_size=20)


def total(*groups):
    """The sum of some groups of terms, each summed by itself and handed on by its parts."""
    whole = ExactSum()
    for group in groups:
        some = ExactSum()
        for term in group:
            some.add(np.array([term]))
        for part in some.parts:
            whole.add(part)
    return whole


@given(st.lists(DOUBLES, max_size=30))
@example([1e308, 1e308, -1e308])
@example([1e16, 1.0, -1e16])
@example([5e-324, -1e308, 2.2250738585072014e-308])
def test_the_sum_is_rounded_once(terms):
    exact = sum(map(Fraction, terms), Fraction())
    try:
        expected = float(exact)
    except OverflowError:
        expected = math.inf if exact > 0 else -math.inf
    assert np.ravel(total(terms).rounded).tolist() == [expected]


@given(ANY, ANY, ANY, st.randoms(use_true_random=False))
@example([math.inf], [-math.inf], [1.0], None)
@example([1.7e308], [1.7e308], [-1.7e308], None)
def test_neither_order_nor_groups_change_a_bit(a, b, c, random):
    shuffled = [*a, *b, *c]
    if random:
        random.shuffle(shuffled)
    sums = [total(a, b, c), total(c, b, a), total([*a, *b], c), total(shuffled)]
    found = {(np.ravel(each.rounded).tobytes(), np.ravel(each.parts).tobytes()) for each in sums}
    assert len({rounded for rounded, _ in found}) == 1
    assert len({parts for _, parts in found}) == 1


@given(st.lists(DOUBLES, max_size=30))
def test_parts_add_up_to_just_the_sum(terms):
    parts = total(terms).parts
    assert sum((Fraction(part) for part in np.ravel(parts).tolist()), Fraction()) == sum(map(Fraction, terms))


@pytest.mark.parametrize(
    ("terms", "expected"),
    [
        ([1.0, math.inf, -1e308], math.inf),
        ([-math.inf, 1.0], -math.inf),
        ([math.inf, -math.inf], math.nan),
        ([1.0, math.nan], math.nan),
        ([], 0.0),
    ],
)
def test_what_is_not_finite_stays_visible(terms, expected):
    np.testing.assert_array_equal(np.ravel(total(terms, [2.0] if terms else []).rounded), [expected])


def test_arrays_are_summed_element_by_element():
    rng = np.random.default_rng(1)
    terms = rng.normal(size=(50, 2, 3)) * 10.0 ** rng.integers(-200, 200, (50, 2, 3))
    terms[7, 1, 2] = np.nan
    whole = ExactSum()
    for term in terms:
        whole.add(term)
    expected = [[math.fsum(terms[:, i, j]) for j in range(3)] for i in range(2)]
    np.testing.assert_array_equal(whole.rounded, expected)
    assert whole.parts.shape[1:] == (2, 3)
