from pullback.config.detector_schema import Detector
from pullback.config.model_schema import OneHit, Scatter, Track, Track3d
from pullback.config.own_schema import Own
from pullback.detector.losses import losses_in_place, losses_of
from pullback.models import load_model
from pullback.study.artefact_configs import SigmaConfig
from pullback.study.plan import Study


def test_a_layer_is_lost_with_all_its_hits():
    found = losses_of(Detector(efficiency=[0.9, 0.8]), load_model(Track3d(z=[0.0, 1.0])))
    assert found == [("layer 0", (0, 2), 0.9), ("layer 1", (1, 3), 0.8)]
    assert losses_of(Detector(), load_model(OneHit())) == [("layer 0", (0,), 1.0)]
    assert losses_of(Detector(efficiency=0.5), load_model(Track(z=[0.0, 1.0])))[1] == ("layer 1", (1,), 0.5)


def test_by_view_each_hit_is_lost_alone():
    found = losses_of(Detector(efficiency={"y": [0.9, 0.8], "x": 0.7}), load_model(Track3d(z=[0.0, 1.0])))
    assert found == [
        ("x of layer 0", (0,), 0.7),
        ("x of layer 1", (1,), 0.7),
        ("y of layer 0", (2,), 0.9),
        ("y of layer 1", (3,), 0.8),
    ]


def test_layers_of_both_trackers_are_counted_on():
    model = load_model(Scatter(z_upper=[1.0, 0.5], z_lower=[-1.0, -0.5]))
    found = losses_of(Detector(efficiency={"x": [0.9, 0.8, 0.7, 0.6], "y": 1}), model)
    assert [each.efficiency for each in found] == [0.9, 0.8, 0.7, 0.6, 1, 1, 1, 1]
    assert found[3].name == "x of layer 3"


def test_a_users_model_may_order_its_coordinates_as_it_likes(tmp_path):
    (tmp_path / "m.py").write_text("def infer(hits):\n    return hits[:, :1]\n")
    coordinates = [{"name": "b", "layer": 1}, {"name": "a", "layer": 0}, {"name": "c", "layer": 1}]
    section = Own(file=str(tmp_path / "m.py"), coordinates=coordinates, observables=[{"name": "o", "unit": "m"}])
    found = losses_of(Detector(efficiency=[0.9, 0.8]), load_model(section))
    assert found == [("layer 0", (1,), 0.9), ("layer 1", (0, 2), 0.8)]


def in_place(alignment, efficiency=None):
    """The losses of corrected hits of three layers in two views."""
    detector = {"efficiency": {"x": [0.9, 0.8, 0.7], "y": 0.5} if efficiency is None else efficiency}
    raw = {"study": "s", "model": {"name": "track3d"}, "detector": detector, "alignment": alignment}
    part, _ = Study.from_config(raw).first_part("nominal")
    return losses_in_place(part.of_kind(SigmaConfig))


def test_a_rotated_layer_loses_both_hits_with_either():
    assert in_place({"rotation": [0, -0.001, 0]}) == [
        ("x of layer 0", (0,), 0.9),
        ("layer 1", (1, 4), 0.4),
        ("x of layer 2", (2,), 0.7),
        ("y of layer 0", (3,), 0.5),
        ("y of layer 2", (5,), 0.5),
    ]
    assert [each.efficiency for each in in_place({"rotation": [0.01, 0.02, -0.03]})] == [0.45, 0.4, 0.35]


def test_layers_that_are_only_moved_lose_each_hit_alone():
    for alignment in (None, {"x": [1, 2, 3], "scale_y": [0.1, 0, 0]}, {"rotation": [0, 0, 0]}):
        assert [each.efficiency for each in in_place(alignment)] == [0.9, 0.8, 0.7, 0.5, 0.5, 0.5]


def test_a_rotated_layer_that_is_lost_as_a_whole_stays_as_it_is():
    names = [("layer 0", (0, 3), 0.9), ("layer 1", (1, 4), 0.8), ("layer 2", (2, 5), 1)]
    assert in_place({"rotation": [0.01, 0.02, 0]}, [0.9, 0.8, 1]) == names
