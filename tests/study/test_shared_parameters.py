import math

import numpy as np
import pytest
import torch

from pullback.config.model_schema import OneHit, Track, Track3d
from pullback.detector.bound_model import Inference, parameters_of
from pullback.errors import PullbackError
from pullback.models import load_model
from pullback.study import shared_parameters
from pullback.uncertainty.systematics import covariance_of_shared

MODEL = load_model(Track())
HITS = torch.tensor([[0.1, 0.25, 0.3], [0.5, 0.2, -0.1]], dtype=torch.float64)


def shifted(names, eta, model=MODEL, hits=HITS):
    parameters = parameters_of(model, {"resolution": 100.0})
    return shared_parameters.Shifted(model, parameters, names)(hits, torch.tensor(eta, dtype=torch.float64))


def test_what_can_be_shifted_has_a_name():
    assert list(shared_parameters.targets(load_model(OneHit()))) == ["model.dz", "alignment.x"]
    offsets = [f"alignment.{view}[{layer}]" for view in "xy" for layer in range(3)]
    heights = [f"model.z[{layer}]" for layer in range(3)]
    assert list(shared_parameters.targets(load_model(Track3d())))[:9] == heights + offsets
    of_layers = {f"alignment.{kind}[{layer}]" for kind in ("rotation", "scale_x", "scale_y") for layer in range(3)}
    assert {*shared_parameters.targets(load_model(Track3d()))} == {*heights, *offsets} | of_layers
    assert {*shared_parameters.targets(MODEL)} == {*heights, *offsets[:3]} | {
        f"alignment.scale_x[{i}]" for i in range(3)
    }
    # What scatters muons is in the covariance of their hits, and the resolution is the detector's.
    assert not {"model.theta0", "model.resolution"} & set(shared_parameters.targets(MODEL))


def test_the_offset_of_a_coordinate_is_that_of_its_layer():
    """alignment.x[2] is the offset of x2, of no other."""
    found = shifted(["alignment.x[2]", "alignment.x[0]"], [0.01, -0.02])
    moved = HITS + torch.tensor([-0.02, 0.0, 0.01], dtype=torch.float64)
    parameters = parameters_of(MODEL, {"resolution": 100.0})
    torch.testing.assert_close(found, Inference(MODEL, parameters)(moved), rtol=1e-14, atol=0)
    assert (found != Inference(MODEL, parameters)(HITS)).all()


def test_a_number_of_the_model_is_shifted_in_its_place():
    found = shifted(["model.z[1]"], [0.1])
    other = load_model(Track(z=[0.0, 0.6, 1.0]))
    torch.testing.assert_close(
        found, Inference(other, parameters_of(other, {"resolution": 100.0}))(HITS), rtol=1e-14, atol=0
    )
    one = load_model(OneHit())
    theta = shifted(["alignment.x", "model.dz"], [0.1, 0.5], one, HITS[:, :1])
    torch.testing.assert_close(theta, ((HITS[:, :1] + 0.1).abs() / 2.0).arctan(), rtol=1e-14, atol=0)


def test_parameters_themselves_are_not_moved():
    parameters = parameters_of(MODEL, {"resolution": 100.0})
    before = {name: each.clone() for name, each in parameters.items()}
    shared_parameters.Shifted(MODEL, parameters, ["model.z[0]"])(HITS, torch.ones(1, dtype=torch.float64))
    assert all(torch.equal(parameters[name], before[name]) for name in before)


def test_the_covariance_of_systematics():
    section = {"model.z[0]": 0.002, "alignment.x[1]": 0.001, "correlations": {"model.z[0], alignment.x[1]": -0.5}}
    assert shared_parameters.names_of(section) == ["model.z[0]", "alignment.x[1]"]
    np.testing.assert_allclose(shared_parameters.shift_covariance(section), [[4e-6, -1e-6], [-1e-6, 1e-6]], rtol=1e-14)


def test_no_uncertainty_at_all_is_one_too():
    section = {"model.z[0]": 0.0, "alignment.x[1]": 0.001}
    shared_parameters.check_systematics(MODEL, section, {}.get)
    np.testing.assert_array_equal(shared_parameters.shift_covariance(section), [[0, 0], [0, 1e-6]])


@pytest.mark.parametrize("least", [shared_parameters.SMALLEST, shared_parameters.LARGEST])
def test_a_covariance_of_the_smallest_uncertainty_or_the_largest_is_one(least):
    section = {"model.z[0]": least, "alignment.x[1]": 0.001, "correlations": {"model.z[0], alignment.x[1]": -1}}
    shared_parameters.check_systematics(MODEL, section, {}.get)
    covariance_of_shared(
        torch.from_numpy(shared_parameters.shift_covariance(section)), torch.ones(2, dtype=torch.float64)
    )


@pytest.mark.parametrize(
    ("section", "expected"),
    [
        ({"model.zz[0]": 0.1}, "model.zz[0]: no such number of the model; did you mean model.z[0]?"),
        ({"alignment.x2": 0.1}, "alignment.x2: no such number of the model; did you mean alignment.x[2]?"),
        ({"alignment.y[2]": 0.1}, "alignment.y[2]: no such number of the model; did you mean alignment.x[2]?"),
        ({"model.z": 0.1}, "model.z: no such number of the model; did you mean model.z["),
        ({"model.theta0": 0.1}, "model.theta0: the inference does not use it"),
        ({"detector.resolution": 0.1}, "detector.resolution: no such number of the model"),
        ({"model.z[0]": -0.1}, "model.z[0]: is -0.1; it must be a standard uncertainty, 0 or from 1e-100 to 1e+100"),
        ({"model.z[0]": math.nan}, "model.z[0]: is nan; it must be"),
        ({"model.z[0]": 1e200}, "model.z[0]: is 1e+200; it must be"),  # its square is infinite
        ({"model.z[0]": 1e-200}, "model.z[0]: is 1e-200; it must be"),  # and this one's is 0
        ({"model.z[0]": True}, "model.z[0]: is True; it must be"),
        ({"model.z[0]": "1e-3"}, "model.z[0]: is '1e-3'; it must be"),
        (
            {"model.z[0]": 0.1, "correlations": {"model.z[0], model.z[1]": 0.5}},
            "correlation of 'model.z[1]': there is no",
        ),
        ({"model.z[0]": 0.1, "correlations": 3}, "correlations: is 3; it must map pairs of names to correlations"),
        ({"model.z[0]": 0.1, "correlations": ["model.z[0]"]}, "it must map pairs of names"),
        ({"model.z[0]": 0.1, "correlations": {"model.z[0]": 0.5}}, "'model.z[0]' must be two names"),
        ({"model.z[0]": 0.1, "correlations": {3: 0.1}}, "3 must be two names"),
        (
            {"model.z[0]": 0.1, "model.z[1]": 0.1, "correlations": {"model.z[0], model.z[1]": "0.5"}},
            "is '0.5'; it must be a correlation, from -1 to 1",
        ),
        (
            {"model.z[0]": 0.1, "model.z[1]": 0.1, "correlations": {"model.z[0], model.z[1]": 1.5}},
            "must be from -1 to 1, not 1.5",
        ),
        ({"correlations": {}}, "correlations: there is nothing to correlate; leave it out"),
        (
            {
                **{f"model.z[{i}]": 0.1 for i in range(3)},
                "correlations": {f"model.z[{i}], model.z[{j}]": -0.9 for i, j in ((0, 1), (0, 2), (1, 2))},
            },
            "systematics.correlations: the correlations are impossible together",
        ),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(section, expected):
    with pytest.raises(PullbackError) as caught:
        shared_parameters.check_systematics(MODEL, section, {}.get)
    assert expected in str(caught.value)
    assert str(caught.value).startswith("config: systematics")
    assert "\n" not in str(caught.value)


def test_each_mistake_has_its_line():
    with pytest.raises(PullbackError) as caught:
        shared_parameters.check_systematics(MODEL, {"model.a": 0.1, "model.z[0]": -1, "model.b": 0.1}, {}.get)
    assert len(str(caught.value).splitlines()) == 3
