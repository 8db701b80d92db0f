"""Layers of a study are aligned by its tracks: simulated closure, recorded hits, a kept file, a scan."""

import json

import numpy as np
import pytest
from running import ENOUGH, Run, slow
from typechecker import unchecked

from pullback.detector.response import Response, generated, true_hits
from pullback.errors import ConfigError, PullbackError
from pullback.report.gallery import gallery
from pullback.steps.aligning import align
from pullback.store.alignment_file import AlignmentFile, kept_alignment
from pullback.study.aligning import alignment_to_json, expected
from pullback.study.artefact_configs import RecoConfig
from pullback.study.plan import Study
from pullback.validation.evidence import Evidence

Z = [0.0, 0.02, 0.07, 0.11]
TRACK3D = {
    "study": "s",
    "source": {"muons": 3000, "beam": {"spread": 2e-3, "spot": 5e-3}},
    "model": {"name": "track3d", "z": Z},
    "detector": {"sigma": {"x": "72 um", "y": "14.4 um"}},
    "toys": {"muons": 20, "per_muon": 100, "experiments": 100},
}
MOVED = {"x": "[0, 300, -200, 0] um", "y": "[0, -90, 70, 0] um", "rotation": "[0, 3, -2, 0] mrad"}
IN_SI = {"x": [0, 3e-4, -2e-4, 0], "y": [0, -9e-5, 7e-5, 0], "rotation": [0, 3e-3, -2e-3, 0]}


def with_detector(raw, **detector):
    return {**raw, "detector": {**raw["detector"], **detector}}


def aligned(raw, path):
    study = Study.from_config(raw)
    with unchecked():
        align(Study.from_json(alignment_to_json(study)), path)
    return AlignmentFile.read(path)


def pulls_of(found, true):
    return [(each.value - true.get(each.kind, [0] * 99)[each.layer]) / each.se for each in found.numbers]


def answers(run):
    found = Evidence.read(run.outputs.validation).answers
    return {name: str(each.verdict) for name, each in found.each.items()}


def test_a_misaligned_detector_is_found_within_its_errors(tmp_path):
    found = aligned({**with_detector(TRACK3D, misalignment=MOVED), "alignment": {}}, tmp_path / "a.json")
    assert [each.name for each in found.numbers][:3] == ["alignment.x[1]", "alignment.y[1]", "alignment.rotation[1]"]
    assert np.abs(pulls_of(found, IN_SI)).max() < 4
    assert max(each.se for each in found.numbers if each.kind == "y") < 1e-6
    assert (found.muons, found.tracks, found.reference) == (3000, 3000, [0, 3])
    assert found.width == pytest.approx(1, abs=0.05)
    assert found.before.median_chi2_per_ndf > 5
    assert found.after.chi2_per_ndf == pytest.approx(1, abs=0.1)
    for before, after in zip(found.before.residuals, found.after.residuals, strict=True):
        assert before.name == after.name
        assert before.hits == after.hits == 3000
        assert abs(after.mean) < 0.1 * abs(before.mean)
    # The residual of x0 from the three other layers, whose width has a closed form.
    others = np.vander(Z[1:], 2)
    at = np.array([0.0, 1.0])
    width = 72e-6 * np.sqrt(1 + at @ np.linalg.inv(others.T @ others) @ at)
    assert found.after.residuals[0].width == pytest.approx(width, rel=0.05)


def test_losses_and_scattering_are_understood(tmp_path):
    raw = with_detector(TRACK3D, misalignment=MOVED, efficiency=0.8)
    raw = {**raw, "model": {**raw["model"], "theta0": "1 mrad"}, "alignment": {}}
    found = aligned(raw, tmp_path / "a.json")
    assert np.abs(pulls_of(found, IN_SI)).max() < 4
    assert found.tracks < 3000  # with at least three hits
    assert found.tracks == pytest.approx(3000 * (0.8**4 + 4 * 0.8**3 * 0.2), rel=0.05)
    assert found.width == pytest.approx(1, abs=0.06)


def test_views_that_lose_their_hits_independently(tmp_path):
    raw = with_detector(TRACK3D, misalignment=MOVED, efficiency={"x": 0.9, "y": 0.7})
    found = aligned({**raw, "alignment": {}}, tmp_path / "a.json")
    assert np.abs(pulls_of(found, IN_SI)).max() < 4
    assert found.halves > 1000
    assert 500 < found.tracks < 3000


def test_both_trackers_of_a_scatter_model(tmp_path):
    true = {"x": [0, 2e-3, 0, 0, -1e-3, 0], "rotation": [0, 1e-2, 0, 0, -2e-2, 0]}
    raw = {"study": "s", "source": {"muons": 3000}, "model": {"name": "scatter"}, "alignment": {}}
    found = aligned({**raw, "detector": {"sigma": "1 mm", "misalignment": true}}, tmp_path / "a.json")
    assert found.reference == [0, 2, 3, 5]
    assert np.abs(pulls_of(found, true)).max() < 4


def test_only_the_stated_number_of_tracks_counts(tmp_path):
    found = aligned({**TRACK3D, "alignment": {"tracks": 500}}, tmp_path / "a.json")
    assert (found.muons, found.tracks) == (500, 500)


def test_the_same_bytes_again_and_whatever_does_not_matter(tmp_path, block):
    raw = {**with_detector(TRACK3D, misalignment=MOVED), "alignment": {}}
    assert block < 3000
    aligned(raw, tmp_path / "a.json")
    study = {"systematics": {"model.z[1]": 0.001}, "compute": {"batch_cost": 1}, "toys": {"muons": 3}}
    aligned({**raw, **study, "scan": {"model.theta0": [0.0, 0.001]}}, tmp_path / "b.json")
    assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()
    assert alignment_to_json(Study.from_config({**raw, **study})) == alignment_to_json(Study.from_config(raw))
    assert alignment_to_json(Study.from_config({**raw, "seed": 5})) != alignment_to_json(Study.from_config(raw))


def test_blocks_that_are_generated_are_those_of_the_study(tmp_path, block):
    """What `align` generates itself is what the study smears."""
    raw = {**with_detector(TRACK3D, misalignment=MOVED), "alignment": {}}
    study = Study.from_config(raw)
    part = study.first_part("nominal")[0].of_kind(RecoConfig)
    response = Response(part)
    last = list(part.blocks)[2]
    assert last.start == 2 * block
    x_reco = response.record(true_hits(part, generated(part, last)), response.draw(last))
    from pullback.steps.aligning import first_tracks

    assert (first_tracks(study).hits[last.start : last.stop] == x_reco).all()


@pytest.mark.parametrize("aligns", [True, False])
def test_a_whole_study_passes_if_it_is_aligned(tmp_path, aligns):
    raw = {
        "study": "s",
        "source": {"muons": 30_000, "cosmic": {"zenith_max": 0.8}},
        "model": {"name": "track", "z": [0.0, 0.3, 0.6, 1.0]},
        "detector": {"resolution": 2000, "misalignment": {"x": "[0, 1, -0.6, 0] mm", "scale_x": [0, 0.002, 0, 0]}},
        "toys": {"muons": 300},
        **(ENOUGH if aligns else {}),
        **({"alignment": {"free": ["x", "scale"]}} if aligns else {}),
    }
    run = Run(raw, tmp_path).make()
    found = answers(run)
    if aligns:
        assert found == {"propagation": "pass", "truth": "pass", "data": "pass"}
        names = [f"alignment.{kind}[{layer}]" for layer in (1, 2) for kind in ("x", "scale_x")]
        assert run.columns("nominal")["systematic_jacobian_slope"].shape == (30_000, 4)
        assert all(name in run.outputs.config.read_text() for name in names)
    else:
        assert found["truth"] == found["data"] == "fail"


@pytest.mark.parametrize("muons", [slow(60_000)])
def test_a_telescope_with_rotations_passes_if_it_is_aligned(tmp_path, muons):
    raw = {
        **with_detector(TRACK3D, misalignment=MOVED),
        **ENOUGH,
        "alignment": {},
    }
    raw |= {"source": {"muons": muons, "beam": {"spread": 5e-3, "spot": 5e-3}}, "toys": {}}
    assert answers(Run(raw, tmp_path).make()) == {"propagation": "pass", "truth": "pass", "data": "pass"}


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """A misaligned study, aligned, with a scan and a systematic of the user's."""
    raw = {
        **with_detector(TRACK3D, misalignment=MOVED),
        "alignment": {"free": ["rotation", "x", "scale"]},
        "systematics": {"model.z[1]": "1 mm"},
        "scan": {"detector.sigma.x": ["72 um", "80 um"]},
    }
    return Run(raw, tmp_path_factory.mktemp("small")).make()


def test_the_covariance_is_among_the_systematics(small):
    found, section = AlignmentFile.read(small.alignment), small.of_job.config.systematics
    assert list(section)[:2] == ["model.z[1]", "alignment.x[1]"]
    sigma = {each.name: each.se for each in found.numbers}
    assert {name: section[name] for name in sigma} == sigma
    covariance = np.array(found.covariance)
    pair = "alignment.x[1], alignment.rotation[1]"
    assert section["correlations"][pair] == pytest.approx(
        covariance[0, 1] / np.sqrt(covariance[0, 0] * covariance[1, 1])
    )
    jacobian = small.columns("detector.sigma.x=7.2e-05")["systematic_jacobian_tx"]
    assert jacobian.shape[1] == 1 + len(sigma)


def slope_of_hits(found, sigma):
    """∂tx/∂hits by generalized least squares, with the covariance of pixels that are rotated and stretched, by hand."""
    number = {(each.kind, each.layer): each.value for each in found.numbers}
    covariance = np.zeros((8, 8))
    for layer in range(4):
        phi, stretch = (number.get(("rotation", layer), 0.0), [number.get((f"scale_{v}", layer), 0.0) for v in "xy"])
        turn = np.array([[np.cos(phi), -np.sin(phi)], [np.sin(phi), np.cos(phi)]]) * (1 + np.array(stretch))
        where = np.ix_([layer, 4 + layer], [layer, 4 + layer])
        covariance[where] = turn @ np.diag(np.square(sigma)) @ turn.T
    line = np.vander(Z, 2)
    design = np.block([[line, np.zeros((4, 2))], [np.zeros((4, 2)), line]])
    weighted = np.linalg.solve(covariance, design)
    return np.linalg.solve(design.T @ weighted, weighted.T)[0]


def test_a_rotation_moves_the_slope_by_the_position_in_the_other_view(small):
    """∂x₁/∂φ₁ = −y₁ and ∂y₁/∂φ₁ = x₁, of which the slope takes its weights; that of y is small."""
    columns, found = small.columns("detector.sigma.x=7.2e-05"), AlignmentFile.read(small.alignment)
    names, weights = ["model.z[1]", *(each.name for each in found.numbers)], slope_of_hits(found, [72e-6, 14.4e-6])
    d = np.array(Z) - np.mean(Z)
    np.testing.assert_allclose(weights[:4], d / (d @ d), rtol=0.01)
    assert 0.05 < abs(weights[5] / weights[1]) < 0.1
    x_reco, jacobian = columns["x_reco"], columns["systematic_jacobian_tx"]
    at = names.index("alignment.rotation[1]")
    by_rotation = -x_reco[:, 5] * weights[1] + x_reco[:, 1] * weights[5]
    np.testing.assert_allclose(jacobian[:, at], by_rotation, rtol=1e-9, atol=1e-12)
    scale = names.index("alignment.scale_x[2]")
    np.testing.assert_allclose(jacobian[:, scale], x_reco[:, 2] * weights[2], rtol=1e-9)
    np.testing.assert_allclose(columns["tx"], x_reco @ weights, rtol=1e-9, atol=1e-12)


def test_all_points_have_one_alignment(small):
    """Hits of both points are corrected alike: they differ by their noise in x alone."""
    one, two = (small.columns(f"detector.sigma.x={sigma}")["x_reco"] for sigma in ("7.2e-05", "8e-05"))
    np.testing.assert_allclose(one[:, 4:8].std(axis=0), two[:, 4:8].std(axis=0), rtol=1e-3)
    assert (one[:, :4] - two[:, :4]).std() == pytest.approx(8e-6, rel=0.05)


def test_the_config_that_is_written_gives_the_same_study(small, tmp_path):
    import yaml

    resolved = yaml.safe_load(small.outputs.config.read_text())
    assert resolved["alignment"]["file"] is None
    run = Run(resolved, tmp_path).make()
    assert run.outputs.study.read_bytes() == small.outputs.study.read_bytes()


def test_figures_are_known_before_layers_are_aligned(small):
    assert gallery(expected(small.study)) == gallery(small.of_job)
    assert "systematics" in {each.kind for each in gallery(small.of_job)}


def test_a_kept_alignment_is_used_again(small, tmp_path):
    raw = {**small.raw, "alignment": {"file": str(small.alignment)}}
    run = Run(raw, tmp_path).make()
    assert run.alignment.read_bytes() == small.alignment.read_bytes()
    assert gallery(expected(run.study, kept_alignment(run.study).aligned)) == gallery(run.of_job)
    assert run.outputs.study.read_bytes() == small.outputs.study.read_bytes()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"model": {"name": "track3d", "z": [0.0, 0.02, 0.08, 0.11]}},
            "has layer 2 at 0.07 m, and the config at 0.08 m",
        ),
        ({"model": {"name": "track3d", "z": Z[:3]}, "detector": {}}, "aligns 4 layers, and model track3d has 3"),
        ({"model": {"name": "track", "z": Z}, "detector": {}}, "aligns the model track3d, and this is track"),
        ({"systematics": {"alignment.x[2]": 1e-6}}, "systematics: alignment.x[2]: is in "),
    ],
)
def test_a_kept_alignment_of_other_layers_is_refused(small, change, message):
    raw = {**small.raw, "alignment": {"file": str(small.alignment)}, "scan": None, "systematics": {}, **change}
    with pytest.raises(ConfigError) as error:
        kept_alignment(Study.from_config(raw))
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_a_kept_alignment_that_cannot_be_read_is_refused(small, tmp_path):
    content = json.loads(small.alignment.read_text())
    content["numbers"][0]["value"] += 1e-6
    (tmp_path / "changed.json").write_text(json.dumps(content))
    (tmp_path / "empty.json").write_text("")
    (tmp_path / "other.json").write_text("{}")
    words = {
        "changed": "has been changed or damaged",
        "empty": "is no file of an alignment, or is damaged or truncated; name the alignment.json",
        "other": "is no file of an alignment, or is damaged or truncated; name the alignment.json",
        "none": "no such file",
    }
    for name, message in words.items():
        raw = {**TRACK3D, "alignment": {"file": str(tmp_path / f"{name}.json")}}
        with pytest.raises(ConfigError, match=rf"config: alignment.file: .*{name}.json: {message}"):
            kept_alignment(Study.from_config(raw))
    results = tmp_path / "results" / "s"
    results.mkdir(parents=True)
    (results / "alignment.json").write_bytes(small.alignment.read_bytes())
    with pytest.raises(ConfigError, match="is made by this study itself; copy it"):
        kept_alignment(Study.from_config({**TRACK3D, "alignment": {"file": "results/s/alignment.json"}}))


def recorded(tmp_path, hits, sigma=None, **more):
    """A recorded study of hits (muon, coordinate), m."""
    names = [f"{view}{layer}" for view in "xy" for layer in range(len(Z))]
    columns = dict(zip(names, hits.T, strict=True)) | ({} if sigma is None else {"s": sigma})
    lines = [",".join(columns), *(",".join(map(str, row)) for row in zip(*columns.values(), strict=True))]
    (tmp_path / "hits.csv").write_text("\n".join(lines).replace("nan", "") + "\n")
    source = {
        "kind": "recorded",
        "file": "hits.csv",
        **({"sigma": dict.fromkeys(names, "s")} if sigma is not None else {}),
    }
    return {**TRACK3D, "source": source, **more}


def hits_of(muons, seed=1):
    """Hits of layers of which the inner ones are displaced, by hand."""
    rng = np.random.default_rng(seed)
    position, slope = rng.normal(0, 5e-3, (muons, 2)), rng.normal(0, 2e-3, (muons, 2))
    x, y = (position[:, [view]] + slope[:, [view]] * Z for view in range(2))
    d, phi = np.array(IN_SI["x"]) + 1j * np.array(IN_SI["y"]), np.array(IN_SI["rotation"])
    h = (x + 1j * y - d) * np.exp(-1j * phi)
    noise = np.repeat([72e-6, 14.4e-6], len(Z)) * rng.standard_normal((muons, 2 * len(Z)))
    return np.concatenate([h.real, h.imag], axis=1) + noise


def test_recorded_hits_are_corrected(tmp_path):
    hits = hits_of(3000)
    hits[:300] = np.random.default_rng(2).normal(0, 5e-3, (300, 8))  # wrong combinations
    run = Run(recorded(tmp_path, hits, alignment={}), tmp_path).make()
    found = AlignmentFile.read(run.alignment)
    assert np.abs(pulls_of(found, IN_SI)).max() < 4
    assert found.weighted == pytest.approx(2700, abs=30)
    turn = np.array([0, found.numbers[2].value, found.numbers[5].value, 0])
    move = np.array([0, found.numbers[0].value, found.numbers[3].value, 0]) + 1j * np.array(
        [0, found.numbers[1].value, found.numbers[4].value, 0]
    )
    expected_hits = (hits[:, :4] + 1j * hits[:, 4:]) * np.exp(1j * turn) + move
    x_reco = run.columns("nominal")["x_reco"]
    np.testing.assert_allclose(x_reco[:, :4] + 1j * x_reco[:, 4:], expected_hits, rtol=0, atol=1e-15)
    assert "recorded hits.csv" in run.alignment.read_text()


def test_half_a_hit_of_a_layer_that_turns_is_left_out_and_counted(tmp_path):
    hits = hits_of(1000)
    hits[:50, 5] = np.nan  # y1
    hits[50:60, 4] = np.nan  # y0 of a layer that is held
    hits[60:67, [0, 2, 3, 4, 6, 7]] = np.nan  # muons with one hit, which is whole
    found = aligned(recorded(tmp_path, hits, alignment={}), tmp_path / "a.json")
    assert found.halves == 50
    assert np.abs(pulls_of(found, IN_SI)).max() < 4
    assert aligned(recorded(tmp_path, hits, alignment={"free": ["x", "y"]}), tmp_path / "b.json").halves == 0


def test_hits_with_a_sigma_of_their_own(tmp_path):
    found = aligned(recorded(tmp_path, hits_of(1000), np.full(1000, 72e-6), alignment={}), tmp_path / "a.json")
    assert np.abs(pulls_of(found, IN_SI)).max() < 4
    assert found.width < 0.9  # y is better than that


def without(hits, *columns):
    return np.where(np.isin(range(8), columns), np.nan, hits)


def apart(hits):
    """Of the layer 1, each muon has one coordinate."""
    return np.where((np.arange(len(hits)) % 2 * 4 + 1)[:, None] == np.arange(8), np.nan, hits)


def far(hits, value):
    return np.where(np.arange(len(hits))[:, None] < 20, value, hits)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda hits: hits[:1], "1 of 1 muon have more hits than a line has parameters, too few for 10 parameters"),
        (
            lambda hits: without(hits, 1, 2, 5, 6),
            r"layer 1 has no hit; layer 2 has no hit \(200 muons\); hold the layers by alignment.reference",
        ),
        (
            lambda hits: without(hits, 3, 7),
            r"do not determine .* free less of them; layer 3, which is held, has no hit",
        ),
        (lambda hits: without(hits, 0, 3, 4, 7), "0 of 200 muons have more hits than a line has parameters"),
        (lambda hits: without(hits, 2, 6), r"layer 2 has no hit \(200 muons\); hold the layer by alignment.reference"),
        (
            lambda hits: without(hits, 6),
            r"layer 2 has hits in x alone \(200 muons\); leave y and rotation and scale out of alignment.free, or hold",
        ),
        (lambda hits: apart(hits), r"layer 1 has x and y of no muon together, as its rotation needs \(200 muons\)"),
        (
            lambda hits: np.where((np.arange(200)[:, None] > 18) & (np.arange(8) % 4 == 2), np.nan, hits),
            r"layer 2 has hits in 19 tracks with more hits than parameters \(20 are needed\); hold the layer",
        ),
        (lambda hits: np.where(np.arange(8) == 1, 2 * hits, hits), r"alignment.scale_x\[1\] = -0.5.* is beyond ±0.1"),
        (lambda hits: hits + 5.0 * (np.arange(8) == 1), ""),
        (lambda hits: far(hits, 1e308), ""),
        (lambda hits: far(hits, -np.inf), ""),
    ],
    ids=[
        *(
            "one row",
            "two layers",
            "a reference without hits",
            "references without hits",
            "a layer without hits",
            "a layer without y",
        ),
        *("views apart", "19 hits"),
        *("twice as large", "5 m away", "huge", "infinite"),
    ],
)
def test_odd_hits_give_an_alignment_or_one_line(tmp_path, spoil, message):
    raw = recorded(tmp_path, spoil(hits_of(200)), alignment={"free": ["x", "y", "rotation", "scale"]})
    if not message:
        assert len(aligned(raw, tmp_path / "a.json").numbers) == 10
        return
    with pytest.raises(PullbackError, match=message) as error:
        aligned(raw, tmp_path / "a.json")
    assert "\n" not in str(error.value)
    assert not (tmp_path / "a.json").exists()
