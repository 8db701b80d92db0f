"""What the section of recorded hits says of uncertainties."""

import pytest

from pullback.config.source_schema import Recorded

LONG = {"layout": "long", "layer": "plane"}


@pytest.mark.parametrize(
    ("section", "own", "correlated"),
    [
        ({"sigma": {"x1": "e"}}, ["x1"], False),
        ({"covariance": {"x1, x1": "v"}}, ["x1"], False),
        ({"sigma": {"x0": "e"}, "covariance": {"x1,x1": "v", "x0,x1": "c"}}, ["x0", "x1"], True),
        ({**LONG, "sigma": {"y": "e"}}, ["y0", "y1"], False),
        ({**LONG, "covariance": {"x,x": "v", "x,y": "c"}, "sigma": {"y": "e"}}, ["x0", "x1", "y0", "y1"], True),
        ({}, [], False),
    ],
)
def test_whose_hits_have_uncertainties_of_their_own(section, own, correlated):
    found = Recorded(file="hits.csv", **section)
    assert [name for name in ("x0", "x1", "y0", "y1") if found.has_own_sigma(name)] == own
    assert found.correlated is correlated


def test_one_column_may_be_given_without_a_list():
    assert Recorded(file="hits.csv", **LONG, z="height").z == ["height"]
    assert Recorded(file="hits.csv", z=["a", "b"]).z == ["a", "b"]
