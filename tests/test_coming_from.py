"""The comparisons with other tools compare the same job, and their pages show what was run."""

import re
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from running import PROJECT

PAGES = PROJECT / "docs" / "coming_from"


@pytest.fixture
def coming_from(monkeypatch):
    monkeypatch.syspath_prepend(str(PROJECT / "benchmarks"))
    import coming_from

    return coming_from


def block(page, name):
    """What the script wrote into a page under a name."""
    text = (PAGES / f"{page}.md").read_text(encoding="utf-8")
    [found] = re.findall(f"<!-- {name}: written by the benchmark -->\n(.*?)\n<!-- end of {name} -->", text, re.DOTALL)
    return found


def test_every_page_is_of_a_job_and_in_the_index(coming_from):
    pages = {path.stem for path in PAGES.glob("*.md")}
    assert pages == {*coming_from.JOBS, "index"}
    listed = re.findall(r"\]\((\w+)\.md\)", (PAGES / "index.md").read_text(encoding="utf-8"))
    assert set(listed) == {*coming_from.JOBS}


@pytest.mark.parametrize("page", ["tomopt", "muograph", "acts_genfit", "uncertainties", "jacobi", "suncal"])
def test_a_page_shows_the_code_that_was_run(coming_from, page):
    _, _, file, functions = coming_from.JOBS[page]
    assert block(page, "theirs") == "\n\n".join(coming_from.code_of(file, each) for each in functions)
    assert block(page, "ours") == coming_from.code_of(file, "by_pullback")
    numbers = block(page, "numbers")
    assert "`python benchmarks/coming_from.py --docs`" in numbers
    assert re.search(r"vectors of torch: \w+", numbers)
    assert numbers.count("| --- |") >= 3


def test_the_scattered_muons_have_the_angles_and_points_that_are_taken_for_true(coming_from):
    true, hits, angle, point = coming_from.scattered(per_bin=50)
    x, y = true[:, :6], true[:, 6:]
    z = coming_from.HEIGHTS
    slopes = [(places[:, i] - places[:, i + 1]) / (z[i] - z[i + 1]) for places in (x, y) for i in (0, 3)]
    p, q = (np.stack([slopes[i], slopes[i + 2], np.ones(len(x))], axis=1) for i in (0, 1))
    between = np.arctan2(np.linalg.norm(np.cross(p, q), axis=1), (p * q).sum(axis=1))
    np.testing.assert_allclose(between, angle, rtol=1e-9)
    down = (point[:, 2] - z[0])[:, None] * p + np.stack([x[:, 0], y[:, 0], np.full(len(x), z[0])], axis=1)
    np.testing.assert_allclose(down, point, atol=1e-12)
    assert np.std(hits - true) == pytest.approx(coming_from.RESOLUTION, rel=0.05)
    assert np.bincount(np.digitize(angle, coming_from.ANGLES)).tolist() == [0, *6 * [50]]


def test_the_layers_of_the_telescope_deflect_only_what_is_below(coming_from, monkeypatch):
    monkeypatch.setattr(coming_from, "RESOLUTION", 0.0)
    slope, hits = coming_from.straight(1, 1e-3, per_bin=2000)
    off = hits - slope * (coming_from.PLANES - coming_from.PLANES[0])
    np.testing.assert_array_equal(off[:, 0], 0.0)
    expected = 1e-3 * np.sqrt([0.3**2, 0.6**2 + 0.3**2, 1 + 0.7**2 + 0.4**2])
    np.testing.assert_allclose(off[:, 1:].std(axis=0), expected, rtol=0.03)


def test_ratios_and_coverage_are_those_of_each_bin(coming_from):
    bins = coming_from.in_bins(np.array([0.5, 1.5, 0.6, 5.0]), [0.0, 1.0, 2.0])
    assert [bin_.tolist() for bin_ in bins] == [[0, 2], [1]]
    ones = np.ones(4)
    assert coming_from.ratio(np.array([2.0, 1.0, 2.0, 9.0]), ones, bins) == ["2.00 (2.00–2.00)", "1.00 (1.00–1.00)"]
    found = {"theta": np.array([0.0, 3.0, 2.0, 0.0]), "theta_sigma": ones}
    assert coming_from.within(found, "theta", np.array([0.5, 1.5, 0.6, 0.0]), bins) == ["50 %", "0 %"]
    found = {"theta_confidence": np.array([[0, 1], [0, 1], [1, 2], [0, 1.0]])}
    assert coming_from.confident(found, "theta", np.array([0.5, 0.5, 0.6, 0.0]), bins) == ["50 %", "100 %"]


def test_toys_are_thrown_around_each_hit(coming_from):
    toys = coming_from.thrown_around(np.array([[0.0, 10.0], [5.0, 20.0]]), 0.1, 4000)
    assert toys.shape == (8000, 2)
    np.testing.assert_allclose(toys[:4000].mean(axis=0), [0.0, 10.0], atol=0.01)
    np.testing.assert_allclose(coming_from.spread(toys[:, 1], 2), 0.1, rtol=0.05)
    np.testing.assert_allclose(coming_from.half_width(toys[:, 1], 2), 0.1, rtol=0.07)


def test_a_kalman_filter_and_generalised_least_squares_agree(coming_from):
    pytest.importorskip("filterpy")
    _, hits = coming_from.straight(1, coming_from.KICK, per_bin=5)
    ways = coming_from.Ways(None)
    case = {"hits": hits, "z": coming_from.PLANES, "sigma": coming_from.RESOLUTION, "theta0": coming_from.KICK}
    theirs, _ = ways.run("tracks", "by_filterpy", "filterpy", **case)
    ours, seconds = ways.run("tracks", "by_pullback", **case, views=1)
    for name in ("slope", "x"):
        np.testing.assert_allclose(theirs[f"{name}_sigma"], ours[f"{name}_sigma"], rtol=1e-6)
        np.testing.assert_allclose(theirs[name], ours[name], atol=1e-4 * ours[f"{name}_sigma"].min())
    assert 0 < seconds < 1
    assert set(ways.versions) == {"filterpy"}


def test_a_tool_that_is_not_installed_is_left_out(coming_from, monkeypatch, capsys):
    monkeypatch.setattr("tools.judge.find_spec", lambda name: None)
    options = SimpleNamespace(docs=True, tomography=None, only=["tomopt", "jacobi"])
    monkeypatch.setattr(coming_from.argparse.ArgumentParser, "parse_args", lambda self: options)
    coming_from.main()
    assert capsys.readouterr().out.splitlines() == [
        "tomopt: left out, needs --tomography PYTHON, see --help",
        "jacobi: left out, no module 'jacobi': see --help",
    ]


def test_an_environment_without_the_tool_is_named(coming_from, tmp_path):
    nowhere = str(tmp_path / "python")
    assert coming_from.Ways(nowhere).missing("tomopt") == f"--tomography {nowhere}: no such program"
    why = coming_from.Ways(sys.executable).missing("tomopt")
    assert why == f"{sys.executable}: ModuleNotFoundError: No module named 'tomopt'"


def test_a_tool_that_fails_says_why(coming_from):
    with pytest.raises(SystemExit, match=r"by_jacobi of one_hit\.py failed"):
        coming_from.Ways(None).run("one_hit", "by_jacobi", x=np.zeros(2), dz=1.5)
