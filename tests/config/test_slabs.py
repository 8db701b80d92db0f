"""Material of layers by thickness and radiation length."""

import json
from math import log, sqrt

import pytest
import torch

from pullback.config.reference import config_schema
from pullback.detector.bound_model import added_covariance, parameters_of
from pullback.errors import ConfigError
from pullback.study.plan import Study

SILICON = {"thickness": "0.3 mm", "radiation_length": "93.7 mm"}
BASE = {
    "study": "s",
    "source": {"muons": 100, "beam": {"momentum": "4 GeV"}},
    "model": {"name": "track", "z": [0.0, 0.1, 0.3]},
}


def study_of(material, **model):
    return Study.from_config({**BASE, "model": {**BASE["model"], "material": material, **model}})


@pytest.mark.parametrize(
    ("written", "lengths"),
    [
        (SILICON, 0.3 / 93.7),
        ({"thickness": 300e-6, "radiation_length": 0.0937}, 0.3 / 93.7),
        ({"thickness": "0 um", "radiation_length": "9.37 cm"}, 0.0),
        ([SILICON, "1 %X0", 0.02], [0.3 / 93.7, 0.01, 0.02]),
        ([0.0, {"radiation_length": "17.57 mm", "thickness": "0.02 m"}, SILICON], [0.0, 20 / 17.57, 0.3 / 93.7]),
    ],
)
def test_a_slab_is_its_thickness_in_radiation_lengths(written, lengths):
    assert study_of(written).config.model.material == pytest.approx(lengths, rel=1e-15)


def test_slabs_scatter_by_highland():
    """θ0 = 13.6 MeV/(βcp) √(x/X0) (1 + 0.038 ln(x/(X0 β²))), of which a hit 0.2 m below has (0.2 θ0)²."""
    model = study_of([SILICON, {"thickness": "2 mm", "radiation_length": "88.97 mm"}, SILICON], momentum=4.0).model
    p, mass = 4.0, 0.1056583755
    beta = p / sqrt(p**2 + mass**2)
    top, middle = (
        0.0136 / (beta * p) * sqrt(lengths) * (1 + 0.038 * log(lengths / beta**2))
        for lengths in (0.3 / 93.7, 2 / 88.97)
    )
    added = added_covariance(model, parameters_of(model, {"sigma": 1e-5}), torch.zeros(1, 3).double())[0]
    assert float(added[1, 1]) == pytest.approx((0.2 * top) ** 2, rel=1e-12)
    assert float(added[0, 0]) == pytest.approx((0.3 * top) ** 2 + (0.1 * middle) ** 2, rel=1e-12)
    assert float(added[0, 1]) == pytest.approx(0.2 * 0.3 * top**2, rel=1e-12)


def test_the_same_study_as_by_radiation_lengths():
    """A study does not depend on how its material is written."""
    assert study_of(SILICON).to_json() == study_of(3e-4 / 0.0937).to_json()


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ({"thickness": "0.3 mm"}, "is {'thickness': '0.3 mm'}; it must be a number of radiation lengths, or as {thick"),
        ({**SILICON, "density": 2.3}, "it must be a number of radiation lengths, or as {thickness: 0.3 mm, radiation"),
        ([0.1, {**SILICON, "thickness": "3 kg"}, 0.1], "layer 1: thickness: is '3 kg', and kg is no unit"),
        ([{**SILICON, "thickness": "3 GeV"}, 0, 0], "layer 0: thickness: is '3 GeV', a momentum; it must be a length"),
        ({**SILICON, "thickness": -1}, "thickness: is -1; it must be a length that is not negative"),
        ({**SILICON, "thickness": float("nan")}, "thickness: is nan; it must be a length that is not negative"),
        ({**SILICON, "thickness": [1]}, "thickness: is [1]; it must be a length that is not negative"),
        ({**SILICON, "radiation_length": 0}, "radiation_length: is 0; it must be above 0"),
        ({**SILICON, "thickness": "1 m"}, "it should be less than or equal to 10 X0"),
        ([SILICON, SILICON], "has 2 values, but model track has 3 layers"),
    ],
)
def test_what_is_no_slab_is_refused_in_one_line(written, message):
    with pytest.raises(ConfigError) as error:
        study_of(written)
    assert str(error.value).startswith("config: model.material: ")
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_the_schema_allows_slabs():
    """An editor must not mark a slab, or a list of them, as wrong."""
    jsonschema = pytest.importorskip("jsonschema")
    schema = json.loads(config_schema())
    for written in (SILICON, [SILICON, 0.01, "1 %X0"], 0.01, "0.01 X0", None):
        jsonschema.validate({**BASE, "model": {**BASE["model"], "material": written}}, schema)
    for wrong in ({**SILICON, "density": 2.3}, True, [{"thickness": []}]):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate({**BASE, "model": {**BASE["model"], "material": wrong}}, schema)
