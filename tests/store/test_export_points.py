"""Points are found by what people write of them."""

import itertools

import pytest

from pullback.config.dotted_names import unit_of
from pullback.errors import ArtefactError
from pullback.store.export_points import chosen_points
from pullback.store.study_file import StudyReader


class Reader(StudyReader):
    """What a study knows of its points."""

    path = "study.h5"

    def __init__(self, *labels):
        self._labels = [*labels]

    def labels(self):
        return self._labels

    def unit_of(self, label, name):
        return unit_of(name) or "1"


SIGMAS, HEIGHTS = ("5e-05", "0.0002"), ("1.5", "1", "0.5")
SCAN = Reader(*(f"detector.sigma={s},model.dz={z}" for s, z in itertools.product(SIGMAS, HEIGHTS)))


@pytest.mark.parametrize(
    "wanted",
    [
        "detector.sigma=5e-05,model.dz=1.5",
        "model.dz=1.5,detector.sigma=5e-05",
        " model.dz = 1.5 m , detector.sigma = 50 um",
        "detector.sigma=50um,model.dz=150cm",
        "detector.sigma = 50 µm, model.dz = 1.5 m",  # as in the report
        "dz=1500 mm,sigma=0.05mm",
        "1",
    ],
)
def test_a_point_by_its_values(wanted):
    assert chosen_points(SCAN, wanted) == SCAN.labels()[:1]


def test_a_point_by_one_of_its_values():
    one = Reader("seed=3", "seed=1", "seed=2")
    assert chosen_points(one, "seed=2") == ["seed=2"]
    assert chosen_points(one, "2") == ["seed=1"]  # a number counts the points
    assert chosen_points(one, "all") == one.labels()
    with pytest.raises(ArtefactError, match=r"seed is '2 m', a length; it has no unit"):
        chosen_points(one, "seed=2 m")


def test_the_only_point_needs_no_name():
    only = Reader("nominal")
    for wanted in (None, "nominal", "1", "all"):
        assert chosen_points(only, wanted) == ["nominal"]
    with pytest.raises(ArtefactError, match=r"^study.h5: has no point 'model.dz=1'. Points: 1: nominal$"):
        chosen_points(only, "model.dz=1")


def test_the_last_digit_does_not_matter():
    assert chosen_points(Reader("model.dz=0.30000000000000004", "model.dz=0.4"), "dz=0.3") == [
        "model.dz=0.30000000000000004"
    ]


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        (
            None,
            "has 6 points; name one by --point, or `--point all`. Points: 1: detector.sigma=5e-05,model.dz=1.5; 2: ",
        ),
        (
            "model.dz=1",
            "2 points have model.dz=1; add another value. Points: "
            "2: detector.sigma=5e-05,model.dz=1; 5: detector.sigma=0.0002,model.dz=1",
        ),
        ("7", "has no point 7. Points: 1: "),
        ("0", "has no point 0. Points: 1: "),
        ("nominal", "has no point 'nominal'. Points: 1: "),
        ("model.dz=1,5", "has no point '5'. Points: 2: detector.sigma=5e-05,model.dz=1; 5: "),
        ("model.dz=1,sigma=1", "has no point with sigma=1. Points: 2: detector.sigma=5e-05,model.dz=1; 5: "),
        ("model.dx=1", "--point: model.dx is not scanned, but detector.sigma and model.dz; did you mean model.dz?"),
        ("model.dz=wide", "--point: model.dz is 'wide', which is no number"),
        ("model.dz=1 rad", "--point: model.dz is '1 rad', an angle; it must be a length, in m, km, cm, mm, um or nm"),
    ],
)
def test_what_is_no_point_is_refused_with_those_that_are_near(wanted, said):
    with pytest.raises(ArtefactError) as caught:
        chosen_points(SCAN, wanted)
    assert str(caught.value).startswith(f"study.h5: {said}")
    assert "\n" not in str(caught.value)


def test_long_lists_are_cut():
    many = Reader(*(f"seed={number}" for number in range(20)))
    with pytest.raises(ArtefactError) as caught:
        chosen_points(many, "seed=20")
    assert str(caught.value).endswith("; 8: seed=7; and 12 more, which --list names")
