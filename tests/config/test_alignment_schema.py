import pytest
from configs import load

from pullback.config.alignment_schema import Alignment, free_parameters, lines_of, references
from pullback.errors import ConfigError
from pullback.study.plan import Study

BASE = {"study": "s", "model": {"name": "track3d", "z": "[0, 19.5, 108.8, 128.3] mm"}}


def refused(**raw):
    with pytest.raises(ConfigError) as error:
        Study.from_config({**BASE, **raw})
    return str(error.value)


def free_of(alignment, **model):
    config = load({"study": "s", "model": {**BASE["model"], **model}, "alignment": alignment})
    return config.alignment and free_parameters(config.alignment, config.model)


def test_nothing_is_aligned_unless_asked():
    assert free_of(None) is None
    assert load(BASE).alignment is None


def test_the_outermost_layers_are_the_default_reference():
    assert free_of({}, z=[0.3, 0.0, 0.1, 0.2]) == [(kind, layer) for layer in (2, 3) for kind in ("x", "y", "rotation")]
    assert free_of({}, name="track", z=[0.0, 1.0, 2.0]) == [("x", 1)]


def test_what_is_free_is_in_one_order():
    wanted = [(kind, layer) for layer in (1, 2) for kind in ("x", "rotation", "scale_x", "scale_y")]
    assert free_of({"free": ["scale", "rotation", "x"], "reference": [3, 0]}) == wanted
    assert free_of({"free": ["scale"]}, name="track") == [("scale_x", 1), ("scale_x", 2)]


def test_each_line_of_a_scatter_model_has_its_references():
    model = load({"study": "s", "model": {"name": "scatter", "z_lower": [-0.8, -0.6, -1.0, -0.7]}}).model
    assert [sorted(line) for line in lines_of(model)] == [[0, 1, 2], [3, 4, 5, 6]]
    assert references(Alignment(), model) == [0, 2, 4, 5]


@pytest.mark.parametrize(
    ("alignment", "message"),
    [
        ({"reference": [1]}, "[1] leaves free: shear in x (shift ∝ z), shear in y (shift ∝ z), twist (rotation ∝ z)"),
        ({"free": ["x"], "reference": [1]}, "[1] leaves free: shear in x (shift ∝ z); hold two layers"),
        ({"free": ["rotation"], "reference": [1]}, "[1] leaves free: twist (rotation ∝ z); hold two layers"),
        ({"free": ["scale", "y"], "reference": [2]}, "shear in y (shift ∝ z), stretch in x ∝ z, stretch in y ∝ z"),
        ({"reference": [0, 1, 2, 3]}, "alignment.reference: [0, 1, 2, 3] are all layers"),
        ({"reference": [0, 4]}, "alignment.reference: there is no layer 4; layers are 0 to 3"),
        ({"reference": [0, -1]}, "alignment.reference[1]: is -1; it should be greater than or equal to 0"),
        ({"reference": [0, 0]}, "alignment: reference: has 0 twice"),
        ({"reference": []}, "alignment.reference: is []"),
        ({"reference": 0}, "alignment.reference: is 0; it should be a valid list"),
        ({"free": ["z"]}, "alignment.free[0]: is 'z'; it should be 'x', 'y', 'rotation' or 'scale'"),
        ({"free": ["x", "x"]}, "alignment: free: has x twice"),
        ({"free": "x"}, "alignment.free: is 'x'; it should be a valid list (in brackets: [x])"),
        ({"fre": ["x"]}, "alignment.fre: unknown key; did you mean alignment.free?"),
        ({"file": "a.json", "free": ["x"]}, "alignment: has free or reference and file; give one of them"),
        ({"file": "a.json", "x": [0, 0, 0, 0]}, "alignment: has file and x of layers; give one of them"),
        ({"x": [0, 0, 0]}, "alignment.x: has 3 values, but model track3d has 4 layers"),
        (
            {"rotation": [0, "0.2 rad", 0, 0]},
            "alignment.rotation[1]: is 0.2 rad; it should be less than or equal to 0.1",
        ),
        ({"y": [0, "1 mrad", 0, 0]}, "alignment.y"),
        ({"tracks": 1}, "alignment.tracks: is 1; it should be greater than or equal to 100"),
        ({"tracks": 1.5}, "alignment.tracks: is 1.5; it should be a valid integer"),
        ([], "alignment: is []; it must be a section"),
    ],
)
def test_a_mistake_is_one_line(alignment, message):
    said = refused(alignment=alignment)
    assert message in said
    assert "\n" not in said


def test_two_references_at_one_height_leave_the_shear_free():
    model = {"name": "track", "z": [0.0, 1.0, 0.0, 2.0]}
    assert "[0, 2] leaves free: shear in x" in refused(model=model, alignment={"reference": [0, 2]})


def test_both_trackers_of_a_scatter_model_need_references():
    said = refused(model={"name": "scatter"}, alignment={"free": ["x"], "reference": [0, 2, 3]})
    assert "[0, 2, 3] leaves free of the layers 3 to 5: shear in x (shift ∝ z); hold two layers" in said
    assert "shift in x, shear in x" in refused(
        model={"name": "scatter"}, alignment={"free": ["x"], "reference": [0, 2]}
    )


OWN = {"file": "m.py", "coordinates": ["x0"], "observables": [{"name": "o", "unit": "m"}]}


@pytest.mark.parametrize("model", [{"name": "one_hit"}, OWN])
def test_models_without_lines_are_not_aligned(model):
    for raw in ({"alignment": {}}, {"alignment": {"x": [0]}}, {"detector": {"misalignment": {"x": [0]}}}):
        with pytest.raises(ConfigError, match=r"needs .*track, track3d or scatter, not (one_hit|own); leave it out"):
            load({"study": "s", "model": model, **raw})


def test_a_track_in_one_view_has_no_y():
    track = {"name": "track"}
    assert "alignment.free: model track measures x alone; leave y and rotation out" in refused(
        model=track, alignment={"free": ["x", "y", "rotation"]}
    )
    assert "alignment.rotation: model track measures x alone" in refused(model=track, alignment={"rotation": [0, 0, 0]})
    assert "detector.misalignment.scale_y: model track measures x alone" in refused(
        model=track, detector={"misalignment": {"scale_y": [0, 0, 0]}}
    )


def test_the_systematics_that_alignment_finds_are_not_given():
    said = refused(alignment={"free": ["x"]}, systematics={"alignment.x[1]": "1 um", "alignment.x[0]": "1 um"})
    assert said == "config: systematics: alignment.x[1]: alignment finds its uncertainty; leave it out"
    Study.from_config({**BASE, "alignment": {"free": ["y"]}, "systematics": {"alignment.x[1]": "1 um"}})


def test_recorded_hits_are_not_misaligned():
    said = refused(source={"kind": "recorded", "file": "hits.csv"}, detector={"misalignment": {"x": [0, 0, 0, 0]}})
    assert "detector.misalignment: recorded hits are where they are; leave it out, or set alignment" in said


def test_numbers_may_have_units():
    config = load(
        {
            **BASE,
            "alignment": {"x": "[0, 50, -20, 0] um", "rotation": [0, "1 mrad", 0, 0]},
            "detector": {"misalignment": {"y": ["1 mm", 0, 0, 0.002]}},
        }
    )
    assert config.alignment.numbers == {"x": [0.0, 5e-5, -2e-5, 0.0], "rotation": [0.0, 1e-3, 0.0, 0.0]}
    assert config.detector.misalignment.numbers == {"y": [0.001, 0.0, 0.0, 0.002]}


def test_misalignment_is_scanned_and_alignment_is_not():
    raw = {**BASE, "detector": {"misalignment": {"x": [0, 0, 0, 0]}}, "alignment": {}}
    study = Study.from_config({**raw, "scan": {"detector.misalignment.x[1]": [0, "50 um"]}})
    assert [point.config.detector.misalignment.x[1] for point in study.points] == [0.0, 5e-5]
    for name in ("alignment.tracks", "alignment.reference[0]"):
        assert f"scan: {name}: no numeric field of that name" in refused(alignment={}, scan={name: [100, 200]})


def test_a_scan_may_not_free_a_mode():
    said = refused(alignment={"reference": [0, 1]}, scan={"model.z[1]": [0.01, 0.0]})
    assert "point model.z[1]=0: alignment.reference: [0, 1] leaves free" in said
