from decimal import ROUND_HALF_EVEN, Decimal

import numpy as np
import pytest

from pullback.store.export_digits import rounded_texts


@pytest.mark.parametrize(
    ("value", "sigma", "digits", "expected"),
    [
        (1.23456, 0.0123, 2, "1.235"),
        (1.23456, 0.0996, 2, "1.23"),  # σ is 0.10
        (1.23456, 0.0994, 2, "1.235"),
        (0.0996, 0.0996, 2, "0.10"),
        (0.0996, 0.0996, 1, "0.1"),
        (5.1, 0.12, 2, "5.10"),
        (1234.5, 123.4, 2, "1230"),
        (1234.5, 12.0, 2, "1234"),
        (-0.001, 0.1, 2, "0.00"),
        (-123.0, 5e3, 1, "0"),
        (0.0, 0.1, 1, "0.0"),
        (0.0, 1e-30, 2, "0"),
        (3e-20, 1.234e-21, 2, "3.00e-20"),
        (1e-25, 1e-20, 2, "0"),
        (1 / 3, 1e-18, 2, repr(1 / 3)),
        (1e22, 1e-3, 2, "1e+22"),
        (1.5, np.nan, 2, "1.5"),
        (1.5, np.inf, 2, "1.5"),
        (1.5, 0.0, 2, "1.5"),
        (1.5, -0.1, 2, "1.5"),
        (np.nan, 0.1, 2, "nan"),
        (-np.inf, 0.1, 2, "-inf"),
    ],
)
def test_single_numbers(value, sigma, digits, expected):
    assert rounded_texts(np.array([value]), np.array([sigma]), digits) == [expected]


def test_against_decimal_arithmetic():
    rng = np.random.default_rng(4)
    sigma = 10 ** rng.uniform(-12, 6, 4000)
    value = sigma * rng.normal(0, 300, 4000)
    for digits in (1, 2, 3, 5):
        for text, x, s in zip(rounded_texts(value, sigma, digits), value.tolist(), sigma.tolist(), strict=True):
            with_digits = Decimal(f"{s:.{digits - 1}e}")
            place = Decimal(1).scaleb(with_digits.adjusted() - digits + 1)
            assert Decimal(text) == Decimal(x).quantize(place, rounding=ROUND_HALF_EVEN)
            assert "e" in text or place >= 1 or Decimal(text).as_tuple().exponent == place.adjusted() or text == "0"
