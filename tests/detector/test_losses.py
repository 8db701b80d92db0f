from pullback.config.detector_schema import Detector
from pullback.config.model_schema import OneHit, Scatter, Track, Track3d
from pullback.config.own_schema import Own
from pullback.detector.losses import losses_of
from pullback.models import load_model


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
