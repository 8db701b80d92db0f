import io
import re
import shutil

import h5py
import numpy as np
import pytest
from rich.console import Console
from running import SMALL, Run

from pullback.cli import main
from pullback.commands.outlook import outlook
from pullback.commands.showing import show
from pullback.errors import PullbackError
from pullback.report.formats import LINE
from pullback.steps.target import find_target
from pullback.store.checksum import seal
from pullback.store.target_file import TargetAnswers


def unwrapped(folder):
    """The lines as if a page were wide."""
    return re.sub(r"\n {2,4}(?!Is |Do )(?=\S)", " ", printed(folder)).splitlines()


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return Run(SMALL, tmp_path_factory.mktemp("results") / "small").make()


def printed(folder, width=300):
    text = io.StringIO()
    show(folder, Console(file=text, width=width))
    return text.getvalue()


def test_the_answer_comes_first(run):
    """As many sentences as points, each with the numbers of all muons of the point."""
    first = unwrapped(run.folder)[: len(run.study.points)]
    with h5py.File(run.outputs.study) as file:
        for line, (label, words) in zip(first, run.study.words.items(), strict=True):
            sigma = file[label]["sigma_theta"][()]
            mean, low, high = 1e3 * np.array([sigma.mean(), *np.quantile(sigma, [0.1587, 0.8413])])
            digits = 2 if mean < 10 else 1  # of three in all
            expected = (
                f"{words}: theta of 3\u202f000 muons: mean σ = {mean:.{digits}f} mrad "
                f"(68 % of muons: {low:.{digits}f} to {high:.{digits}f})"
            )
            assert line == expected


def test_the_verdict_and_each_point_follow(run):
    text = printed(run.folder)
    assert "\nVerdict: inconclusive\n" in text
    assert "\n  Is the propagation right? " in text
    assert "\nWhat would decide it: " in text
    assert "coverage: {toys_per_bin: " in text
    assert sum(line.startswith(tuple(run.study.words.values())) for line in text.splitlines()) == 8
    assert text.splitlines()[-1].startswith("Report: ")
    assert printed(run.outputs.study) == text  # a file of the folder will do


def test_points_have_units_and_no_text_is_wider_than_a_page(run):
    lines = printed(run.folder).splitlines()
    table = next(number for number, line in enumerate(lines) if line.startswith("point "))
    assert lines[table + 1].startswith("detector.resolution = 50 /m, model.dz = 1 m ")
    assert not any("resolution=" in line for line in lines)
    assert max(map(len, lines[:table])) <= LINE
    (question,) = [number for number, line in enumerate(lines) if line.startswith("  Is the propagation right?")]
    assert lines[question + 1].startswith("    ")
    assert max(map(len, printed(run.folder, width=70).splitlines()[:table])) <= 70


def test_a_path_is_never_broken(run):
    assert printed(run.folder, width=30).splitlines()[-1] == f"Report: {run.folder / 'report.html'}"


def test_what_was_not_tested_is_said_once(run):
    (said,) = [line for line in printed(run.folder).splitlines() if "stated resolution?" in line]
    assert said == "  Do the data agree with the stated resolution? can't be tested: as many parameters as hits."


def test_no_study_is_one_line(tmp_path):
    with pytest.raises(PullbackError, match=r"holds no finished study$"):
        show(tmp_path, Console(file=io.StringIO()))
    with pytest.raises(SystemExit, match=r"^pullback: there is no folder none; "):
        main(["show", "none"])


def test_a_damaged_study_is_refused(run, tmp_path):
    other = tmp_path / "small"
    other.mkdir()
    for name in ("validation.json", "study.h5"):
        (other / name).write_bytes((run.folder / name).read_bytes())
    with pytest.raises(PullbackError, match="small/sigma/"):  # whose columns study.h5 only names
        show(other, Console(file=io.StringIO()))


OLD = {"versions": '{"pullback": "0.0.9"}', "commit": "abc123"}


def of_another_version(file):
    """Signed by other code, whatever made it."""
    with h5py.File(file, "r+") as opened:
        opened.attrs.update({**OLD, "code_digest": "0"})
    seal(file)


def copied(run, folder):
    shutil.copytree(run.folder, folder)
    return folder


def test_results_of_another_version_are_shown_and_it_is_named(run, tmp_path):
    other = copied(run, tmp_path / "small")
    for file in [other / "study.h5", *other.glob("sigma/*.h5")]:
        of_another_version(file)
    *lines, said, last = unwrapped(other)
    assert [*lines, last.replace(str(other), str(run.folder))] == unwrapped(run.folder)
    assert said.startswith("Made by pullback 0.0.9, commit abc123; this is ")


def test_a_format_that_cannot_be_read_is_refused_by_its_version(run, tmp_path):
    other = copied(run, tmp_path / "small")
    of_another_version(other / "study.h5")
    (other / "validation.json").write_text('{"digest": "0"}')
    with pytest.raises(PullbackError, match=r"small: was made by pullback 0\.0\.9, commit abc123, and this is "):
        show(other, Console(file=io.StringIO()))


def test_what_this_version_made_and_is_damaged_is_called_so(run, tmp_path):
    other = copied(run, tmp_path / "small")
    (other / "validation.json").write_text('{"digest": "0"}')
    with pytest.raises(PullbackError, match=r"validation\.json: has been changed or damaged"):
        show(other, Console(file=io.StringIO()))


def test_a_scan_and_a_target_are_answered_first(tmp_path):
    """Of more answers than are told one by one, the range; then what was found for the wanted mean σ."""
    resolutions = [60, 70, 80, 90, 100]
    target = {"sigma_theta": 0.004, "vary": "detector.resolution"}
    raw = {**SMALL, "scan": {"detector.resolution": resolutions}, "target": target}
    run = Run(raw, tmp_path / "small").make()
    find_target(run.study, run.folder / "target.json")
    with h5py.File(run.outputs.study) as file:
        means = [1e3 * file[point.label]["sigma_theta"][()].mean() for point in run.study.points]
    (found,) = TargetAnswers.read(run.folder / "target.json").answers
    answer, value, empty, *_ = unwrapped(run.folder)
    assert answer == f"theta over 5 points: mean σ from {min(means):.2f} mrad to {max(means):.2f} mrad"
    assert value.startswith(
        f"detector.resolution = {found.value:.4g} /m gives a mean σ of theta of 4 mrad. The present"
    )
    assert not empty


def test_a_target_at_each_point_has_the_units_of_the_point(tmp_path):
    raw = {**SMALL, "scan": {"model.dz": [1.0, 0.5]}, "target": {"sigma_theta": 0.01, "vary": "detector.resolution"}}
    run = Run(raw, tmp_path / "small").make()
    find_target(run.study, run.folder / "target.json")
    lines = unwrapped(run.folder)
    assert [line.partition(": detector.resolution = ")[0] for line in lines[2:4]] == [
        "model.dz = 1 m",
        "model.dz = 500 mm",
    ]


def test_merged_events_are_told_by_check_and_run_and_report(tmp_path):
    """Two runs number their events alike, and `event` names no run."""
    rng = np.random.default_rng(1)
    x = rng.normal(size=(2, 60, 1)) + rng.normal(scale=0.01, size=(2, 60, 4))
    rows = [f"{run},{event},{layer},{x[run, event, layer]}" for run, event, layer in np.ndindex(x.shape)]
    (tmp_path / "hits.csv").write_text("\n".join(["run,event,plane,x", *rows, "1,99,0,0.5", "1,99,1,0.5", ""]))
    source = {"kind": "recorded", "file": str(tmp_path / "hits.csv"), "layout": "long", "layer": "plane", "x": "x"}
    raw = {
        "study": "merged",
        "source": {**source, "event": "event", "several": "nearest"},
        "model": {"name": "track", "z": [0.3, 0.2, 0.1, 0.0]},
        "detector": {"sigma": "1 cm"},
        "toys": {"muons": 1, "per_muon": 100},
    }
    said = (
        "60 of 61 events have several hits in most layers, and 480 of 482 hits are left out by source.several: column "
        "'run' separates these events; list it in source.event, too."
    )
    assert f" warning {said} " in " ".join(str(outlook(raw)).split())
    made = Run(raw, tmp_path / "merged").make().show()
    assert f" Warning: {said} Verdict" in " ".join(printed(made.folder).split())
    assert f"<b>Warning:</b> {said.replace(chr(39), '&#39;')}</p>" in (made.folder / "report.html").read_text()
    raw["source"]["event"] = ["run", "event"]
    assert "warning" not in str(outlook(raw))
