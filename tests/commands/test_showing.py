import io

import h5py
import numpy as np
import pytest
from rich.console import Console
from running import SMALL, Run

from pullback.cli import main
from pullback.commands.showing import show
from pullback.errors import PullbackError


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return Run(SMALL, tmp_path_factory.mktemp("results") / "small").make()


def printed(folder, width=300):
    text = io.StringIO()
    show(folder, Console(file=text, width=width))
    return text.getvalue()


def test_the_answer_comes_first(run):
    """As many sentences as points, each with the numbers of all muons of the point."""
    first = printed(run.folder).splitlines()[: len(run.study.points)]
    with h5py.File(run.outputs.study) as file:
        for line, label in zip(first, [point.label for point in run.study.points], strict=True):
            sigma = file[label]["sigma_theta"][()]
            mean, low, high = 1e3 * np.array([sigma.mean(), *np.quantile(sigma, [0.1587, 0.8413])])
            expected = (
                f"{label}: theta of 3\u202f000 muons: mean σ = {mean:.3g} mrad (68 % of muons: {low:.3g} to {high:.3g})"
            )
            assert line == expected


def test_the_verdict_and_each_point_follow(run):
    text = printed(run.folder)
    assert "\nVerdict: inconclusive\n" in text
    assert "\n  Is the propagation right? " in text
    assert sum(line.startswith(tuple(point.label for point in run.study.points)) for line in text.splitlines()) == 8
    assert text.splitlines()[-1].startswith("Report: ")
    assert printed(run.outputs.study) == text  # a file of the folder will do


def test_no_study_is_one_line(tmp_path):
    with pytest.raises(PullbackError, match=r"holds no finished study; name a folder such as results/exercise$"):
        show(tmp_path, Console(file=io.StringIO()))
    with pytest.raises(SystemExit, match=r"^pullback: none: holds no finished study"):
        main(["show", "none"])


def test_a_damaged_study_is_refused(run, tmp_path):
    other = tmp_path / "small"
    other.mkdir()
    for name in ("validation.json", "study.h5"):
        (other / name).write_bytes((run.folder / name).read_bytes())
    with pytest.raises(PullbackError, match="small/sigma/"):  # whose columns study.h5 only names
        show(other, Console(file=io.StringIO()))
