from types import SimpleNamespace

import pytest

from pullback.models import load_model
from pullback.models.straight_lines import straight_lines

WITHOUT_MATERIAL = {"theta0": 0.0, "theta0_momentum": None, "material": None, "momentum": None, "fit": "gls", "at": ()}


def lines(**section):
    model = load_model(SimpleNamespace(**WITHOUT_MATERIAL, **section))
    return [(each.name, each.places, each.heights, each.range) for each in straight_lines(model)]


def test_a_track_has_a_line_in_each_view():
    assert lines(name="track", z=[0.5, 0.0, 1.0]) == [("x", (0, 1, 2), (0.5, 0.0, 1.0), (0.0, 1.0))]
    assert lines(name="track3d", z=[0.5, 0.0, 1.0]) == [
        ("x", (0, 1, 2), (0.5, 0.0, 1.0), (0.0, 1.0)),
        ("y", (3, 4, 5), (0.5, 0.0, 1.0), (0.0, 1.0)),
    ]


def test_scattering_has_a_line_above_and_one_below_in_each_view():
    assert lines(name="scatter", z_upper=[0.6, 1.0], z_lower=[-1.0, -0.7, -0.6]) == [
        ("x above", (0, 1), (0.6, 1.0), (0.6, 1.0)),
        ("x below", (2, 3, 4), (-1.0, -0.7, -0.6), (-1.0, -0.6)),
        ("y above", (5, 6), (0.6, 1.0), (0.6, 1.0)),
        ("y below", (7, 8, 9), (-1.0, -0.7, -0.6), (-1.0, -0.6)),
    ]


def test_every_coordinate_is_on_one_line():
    found = lines(name="scatter", z_upper=[0.6, 1.0, 0.8], z_lower=[-1.0, -0.7])
    assert sorted(place for _, places, *_ in found for place in places) == list(range(10))


@pytest.mark.parametrize("missing", ["fitted", "heights"])
def test_a_model_without_fit_or_heights_has_none(missing):
    from dataclasses import replace

    section = SimpleNamespace(name="track", z=[0.0, 1.0], **WITHOUT_MATERIAL)
    model = replace(load_model(section), **{missing: None if missing == "fitted" else ()})
    assert straight_lines(model) == []
    assert straight_lines(load_model(SimpleNamespace(name="one_hit", dz=1.5))) == []
