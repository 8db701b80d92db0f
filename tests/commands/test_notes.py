"""What `pullback check` says of a config that may be meant otherwise."""

import pytest
import yaml

from pullback.cli import main
from pullback.commands.notes import notes_on
from pullback.study.plan import Study

LAYERS = {"name": "track", "z": [0.0, 0.12, 0.25]}
SIGMA = {"sigma": [2e-5, 1e-4, 2e-5]}


def notes(model=LAYERS, detector=SIGMA, **raw):
    return notes_on(Study.from_config({"study": "s", "model": model, "detector": detector, **raw}))


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (
            {"scan": {"detector.sigma[1]": [20, 200]}},
            "detector.sigma gives a σ of 200 m, larger than the distance of the outermost layers, 250 mm",
        ),
        ({"detector": {"sigma": 0.26}}, "detector.sigma gives a σ of 260 mm, larger than"),
        ({"detector": {"resolution": 3.0}}, "detector.resolution gives a σ of 333 mm, larger than"),
        (
            {"model": {"name": "track3d", "z": [0.0, 0.1]}, "detector": {"sigma": {"x": 1e-5, "y": 0.2}}},
            "detector.sigma.y gives a σ of 200 mm, larger than",
        ),
        (
            {"model": {"name": "one_hit", "dz": 1.5}, "detector": {"sigma": 100}},
            "detector.sigma gives a σ of 100 m, larger than dz, 1.5 m",
        ),
    ],
)
def test_a_resolution_larger_than_the_detector_may_lack_a_unit(raw, expected):
    (note,) = notes(**raw)
    assert note.startswith(expected)
    assert note.endswith("; is a unit missing?")


def test_what_is_smaller_is_not_noted():
    assert notes() == notes(detector={"sigma": 0.24}) == []
    assert notes(model={"name": "one_hit"}, detector={"resolution": 100}) == []


def test_layers_at_one_height_are_noted():
    z = [0.0, 0.12, 0.12, 0.6]
    assert notes({"name": "track", "z": z}, {"sigma": 1e-4}) == ["layers 1, 2 are at the same height, 120 mm"]
    scan = {"model.z[2]": [0.2, 0.12]}
    assert notes(LAYERS, scan=scan) == ["layers 1, 2 are at the same height, 120 mm, where model.z[2] = 120 mm"]


def test_check_prints_them(tmp_path, capsys):
    raw = {
        "study": "s",
        "source": {"muons": 100, "beam": {"spread": 0.02}},
        "model": LAYERS,
        "detector": SIGMA,
        "scan": {"detector.sigma[1]": [20, 200]},
    }
    (tmp_path / "my.yaml").write_text(yaml.safe_dump(raw))
    main(["check", str(tmp_path / "my.yaml")])
    assert "detector.sigma gives a σ of 200 m" in capsys.readouterr().out
