"""Resolution and alignment in turn, of hits whose resolution and misalignment are known."""

import logging
import re
from pathlib import Path

import numpy as np
import pytest
import yaml
from typechecker import unchecked

from pullback.cli import main
from pullback.errors import PullbackError
from pullback.store.alignment_file import AlignmentFile
from pullback.study.plan import Study
from pullback.validation import calibration
from pullback.validation.calibration import calibrate, calibration_in_words

TRACK = {
    "study": "s",
    "source": {"muons": 6000, "x_min": -0.1, "x_max": 0.1},
    "model": {"name": "track", "z": [0.0, 0.2, 0.5, 0.7, 1.0]},
    "detector": {"sigma": "[1, 2, 1, 3, 2] mm", "misalignment": {"x": "[0, 4, -6, 3, 0] mm"}},
}
TRUE = {"x": [0, 4e-3, -6e-3, 3e-3, 0]}


def found_by(raw):
    with unchecked():
        return calibrate(raw)


def record(raw, stated, factor=1.0):
    """The hits of a simulated study in a file, of a detector whose σ is stated wrong, and a config of them."""
    from pullback.steps.aligning import first_tracks
    from pullback.study.aligning import to_be_aligned

    study = to_be_aligned(Study.from_config(raw))
    hits = first_tracks(study).hits
    names = [each.name for each in study.model.coordinates]
    np.savetxt("hits.csv", factor * hits, delimiter=",", header=",".join(names), comments="")
    return {
        "study": "s",
        "source": {"kind": "recorded", "file": "hits.csv"},
        "model": raw["model"],
        "detector": {"sigma": stated},
    }


@pytest.mark.parametrize("stated", ["1 mm", "20 mm", "[3, 3, 1, 1, 1] mm"])
def test_wrong_sigmas_are_corrected_layer_by_layer(stated):
    """From any start, σ of five layers and offsets of three are found within their errors."""
    found = found_by(record(TRACK, stated))
    errors = [each.factor.se / each.factor.value for each in found.resolution]
    pulls = (np.array(found.sigma) / [1e-3, 2e-3, 1e-3, 3e-3, 2e-3] - 1) / errors
    assert abs(pulls).max() < 4
    assert max(errors) < 0.1
    assert not found.own_sigma
    assert all(abs(each.value - TRUE["x"][each.layer]) < 4 * each.se for each in found.alignment.numbers)
    assert found.alignment.width == pytest.approx(1, abs=0.05)


def test_wrong_tracks_do_not_matter():
    raw = record(TRACK, "5 mm")
    hits = np.loadtxt("hits.csv", delimiter=",", skiprows=1)
    hits[:600] = np.random.default_rng(1).uniform(-1, 1, (600, 5))
    np.savetxt("hits.csv", hits, delimiter=",", header="x0,x1,x2,x3,x4", comments="")
    found = found_by(raw)
    assert found.sigma == pytest.approx([1e-3, 2e-3, 1e-3, 3e-3, 2e-3], rel=0.15)
    assert all(abs(each.value - TRUE["x"][each.layer]) < 4 * each.se for each in found.alignment.numbers)


SPACE = {
    "study": "s",
    "source": {"muons": 4000, "beam": {"spread": 2e-3, "spot": 5e-3}},
    "model": {"name": "track3d", "z": [0.0, 0.02, 0.07, 0.11]},
    "detector": {"sigma": {"x": "72 um", "y": "14.4 um"}, "misalignment": {"rotation": "[0, 3, -2, 0] mrad"}},
}


@pytest.mark.parametrize("written", [None, "alignment.json"])
def test_the_printed_config_is_a_config(written):
    """It has the σ and the alignment that were found; with it, nothing is left to change."""
    raw = record(SPACE, "50 um")
    found = found_by(raw)
    if written:
        found.alignment.write(written)
    text = calibration_in_words(found, written)
    again = {**raw, **yaml.safe_load(text.partition("For the config, in place of what it has:\n")[2])}
    config = Study.from_config(again).config
    assert config.detector.sigma["x"] == pytest.approx(72e-6, rel=0.05)
    assert config.detector.sigma["y"] == pytest.approx(14.4e-6, rel=0.05)
    if written:
        assert config.alignment.file == written
    else:
        corrections = found.alignment.aligned.corrections
        assert config.alignment.numbers.keys() == corrections.keys()
        for kind, values in corrections.items():
            assert config.alignment.numbers[kind] == pytest.approx(values, rel=1e-4, abs=1e-12)
        sigma = {each.name: each.se for each in found.alignment.numbers}
        assert config.systematics == pytest.approx(sigma, rel=6e-3)
    assert found_by(again).rounds == 1


def test_sigmas_that_a_line_does_not_tell_apart_have_one_factor():
    found = found_by(record(SPACE, {"x": "[30, 30, 60, 60] um", "y": "20 um"}))
    assert [each.coordinates for each in found.resolution] == [[f"{view}{i}" for i in range(4)] for view in "xy"]
    assert found.sigma[2] == pytest.approx(2 * found.sigma[0])
    assert "which share their relative error" in calibration_in_words(found, None)


def test_hits_with_a_sigma_of_their_own_give_a_factor():
    raw = record(TRACK, "5 mm")
    header, *lines = Path("hits.csv").read_text().split()
    Path("hits.csv").write_text("\n".join([f"{header},s", *(f"{line},0.001" for line in lines)]) + "\n")
    raw["source"] |= {"sigma": {f"x{index}": "s" for index in range(5)}}
    found = found_by(raw)
    assert found.own_sigma
    assert found.line == ""
    assert found.rounds == 1
    factors = {each.coordinates[0]: each.factor.value for each in found.resolution}
    assert factors["x3"] == pytest.approx(3, rel=0.2)
    assert "times the stated σ in x₃" in calibration_in_words(found, None)
    assert "# the σ of hits is in the file" in calibration_in_words(found, None)


def test_given_and_kept_alignments_are_kept(tmp_path):
    raw = record(TRACK, "5 mm")
    free = found_by(raw)
    free.alignment.write(tmp_path / "a.json")
    kept = found_by({**raw, "alignment": {"file": str(tmp_path / "a.json")}})
    assert kept.alignment == AlignmentFile.read(tmp_path / "a.json")
    given = found_by({**raw, "alignment": {"x": free.alignment.aligned.corrections["x"]}})
    assert given.alignment is None
    assert kept.sigma == pytest.approx(given.sigma, rel=1e-3)
    assert kept.sigma == pytest.approx(free.sigma, rel=1e-2)
    # Of a shift that is left, the resolution is that of residuals about their mean.
    assert found_by({**raw, "alignment": {"x": [0, 0, 0, 0, 0]}}).sigma == pytest.approx(given.sigma, rel=0.05)


def chi2_in(caplog):
    """χ²/ndf of the rounds that have been logged since."""
    found = [each.args[1] for each in caplog.records if each.msg.startswith("round")]
    caplog.clear()
    return found


@pytest.mark.parametrize("name", ["a.json", "kept {of}, run: 7 — ä.json"])
def test_a_kept_alignment_is_used_and_stays_in_the_config(name, monkeypatch, caplog):
    """That of the file is taken even where it is wrong, nothing is found anew, and the config keeps the file."""
    caplog.set_level(logging.INFO, logger="pullback.validation.calibration")
    raw = record(TRACK, "5 mm")
    free = found_by({**raw, "alignment": {"free": ["x", "scale"]}})
    caplog.clear()
    off = {"alignment.scale_x[2]": 0.02}  # 2 mm at the edges
    numbers = [each.model_copy(update={"value": each.value + off.get(each.name, 0)}) for each in free.alignment.numbers]
    wrong = free.alignment.model_copy(update={"numbers": numbers})
    wrong.write(name)
    monkeypatch.setattr(calibration, "found_alignment", None)
    kept, chi2 = found_by({**raw, "alignment": {"file": name}}), chi2_in(caplog)
    assert kept.alignment.numbers == numbers
    given = found_by({**raw, "alignment": wrong.aligned.corrections})
    assert kept.sigma == pytest.approx(given.sigma, rel=1e-12)
    assert chi2 == chi2_in(caplog)
    found_by({**raw, "alignment": free.alignment.aligned.corrections})
    assert chi2[-1] > 3 * chi2_in(caplog)[-1]  # a trend that is left
    text = calibration_in_words(kept, None)
    assert text.startswith(f"layers are where {name} says; {kept.rounds} rounds\nχ²/ndf: 6.1")
    again = yaml.safe_load(text.partition("For the config, in place of what it has:\n")[2])
    assert again["alignment"] == {"file": name}
    assert "systematics" not in again
    assert found_by({**raw, **again}).rounds == 1


def test_simulated_hits_keep_their_own_noise():
    """σ is that of the noise, a strip's pitch/√12, and not what was last stated."""
    raw = {**TRACK, "detector": {"sigma": "2 mm", "noise": {"kind": "strip", "pitch": "3 mm"}}}
    assert found_by(raw).sigma == pytest.approx([3e-3 / np.sqrt(12)] * 5, rel=0.1)


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        ({"study": "s"}, "model one_hit has no fit"),
        ({**TRACK, "model": {"name": "track", "z": [0, 1]}, "detector": {}}, "as many parameters as hits"),
        ({**TRACK, "source": {"muons": 30}}, "30 muons with degrees of freedom are too few to decide"),
        ({**TRACK, "source": {"muons": 1}}, "1 of 1 muon have more hits than a line has parameters, too few"),
        ({**TRACK, "alignment": {"reference": [0]}}, "shear in x"),
    ],
)
def test_what_cannot_be_calibrated_is_refused(raw, message):
    with pytest.raises(PullbackError, match=message) as error:
        found_by(raw)
    assert "\n" not in str(error.value)


def test_the_command(tmp_path, capsys):
    raw = record(TRACK, "2 mm")
    (tmp_path / "my.yaml").write_text(yaml.safe_dump(raw))
    with unchecked():
        main(["calibrate", "my.yaml", "--output", "alignment.json"])
    printed = capsys.readouterr().out
    assert re.search(r"^alignment.x\[2\] = -[56].\d+ ± 0.0\d+ mm$", printed, re.MULTILINE)
    assert "alignment: {file: alignment.json}" in printed
    assert AlignmentFile.read("alignment.json").numbers[0].name == "alignment.x[1]"
    with pytest.raises(SystemExit, match=r"alignment.json: already exists; name another file"):
        main(["calibrate", "my.yaml", "--output", "alignment.json"])
    with pytest.raises(SystemExit, match=r"no/such/a.json: there is no folder no/such; make it, or name another"):
        main(["calibrate", "my.yaml", "--output", "no/such/a.json"])
    assert not (tmp_path / "no").exists()
    before = (tmp_path / "alignment.json").read_bytes()
    with unchecked():
        main(["calibrate", "my.yaml", "--output", "alignment.json", "--force"])
    assert (tmp_path / "alignment.json").read_bytes() == before
    (tmp_path / "wrong.yaml").write_text("study: s\nstudy: t\n")
    with pytest.raises(SystemExit, match=r"wrong.yaml:2: "):
        main(["calibrate", "wrong.yaml"])


BEAM = {
    "study": "s",
    "source": {"muons": 6000, "beam": {"spread": 4e-3, "spot": 4e-3}},
    "model": {"name": "track", "z": "[0, -150, -310, -480, -620] mm", "theta0": "0.2 mrad"},
    "detector": {"sigma": "20 um"},
}


def scattered(**model):
    """Recorded hits of a beam that the layers scatter by 0.2 mrad, and a config that says otherwise."""
    raw = record(BEAM, "20 um")
    return {**raw, "model": {**raw["model"], **model}}


def test_no_sigma_is_made_up_for_tracks_that_scatter_less_than_stated():
    with pytest.raises(PullbackError, match=r"no σ in .*x₂.* above 0 explains these tracks: they want θ0 = ") as error:
        found_by(scattered(theta0="0.4 mrad"))
    angle = re.search(r"write `model\.theta0: ([0-9.]+) mrad`", str(error.value))[1]
    assert float(angle) == pytest.approx(0.2, rel=0.05)
    with pytest.raises(PullbackError, match=r"no σ in .* a factor of 10 almost exactly; check the units of model\.z"):
        found_by(scattered(z="[0, -150, -310, -480, -620] cm"))


def test_scattering_that_is_forgotten_is_named_beside_the_sigmas_that_replace_it():
    text = calibration_in_words(found_by(scattered(theta0=0.0)), None)
    line = re.search(r"\nthe tracks want θ0 = .* write `model\.theta0: ([0-9.]+) mrad`\nwithout it, and less w", text)
    assert float(line[1]) == pytest.approx(0.2, rel=0.05)
    assert "\n  σ = " in text
    assert "detector" not in text[text.index("For the config, in place of what it has:") :]
    assert "then calibrate again" in text
    assert "the tracks want" not in calibration_in_words(found_by(scattered()), None)
