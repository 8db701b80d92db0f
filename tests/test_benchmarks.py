"""The benchmarks compare what they say they compare, and the docs show what they made."""

import importlib.util
import json
import re
import subprocess
import sys
from collections import Counter
from types import SimpleNamespace

import numpy as np
import psutil
import pytest
from running import PROJECT

BENCHMARKS = PROJECT / "benchmarks"
PAGES = [PROJECT / "README.md", BENCHMARKS / "README.md", *sorted((PROJECT / "docs").rglob("*.md"))]


@pytest.fixture(autouse=True)
def _benchmarks(monkeypatch):
    """The scripts import each other by name."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))


@pytest.fixture
def peers():
    import peers

    return peers


@pytest.fixture
def sampled():
    """The sampler, by another name: Python has a sitecustomize of its own."""
    spec = importlib.util.spec_from_file_location("sampled", BENCHMARKS / "sampled" / "sitecustomize.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def law(hits):
    return 0.01 * 1.5 / (1.5**2 + hits**2)


def test_the_hits_are_the_same_for_all_and_some_are_negative(peers):
    few, many = peers.hits_of(100), peers.hits_of(10_000)
    assert np.array_equal(few, many[:100])
    assert (few < 0).sum() == 1
    assert 0 < (many < 0).mean() < 0.01


@pytest.mark.parametrize(
    ("name", "rtol"), [("propagate", 1e-14), ("exercise", 1e-14), ("numpy", 1e-14), ("jacobi", 1e-12)]
)
def test_a_linear_way_gives_linear_propagation(peers, name, rtol):
    hits = peers.hits_of(100)
    theta, sigma = peers.WAYS[name].make()(hits)
    np.testing.assert_allclose(theta, np.arctan(abs(hits) / 1.5), rtol=1e-15)
    signs = np.sign(hits) if name == "exercise" else 1  # the exercise takes the signed derivative for σ
    np.testing.assert_allclose(sigma, signs * law(hits), rtol=rtol)


@pytest.mark.parametrize("name", ["jax", "uncertainties", "gvar"])
def test_an_optional_peer_gives_linear_propagation(peers, name):
    pytest.importorskip(name)
    cell = peers.run(name, 100)
    assert not cell.why
    assert cell.off_linear < 1e-15
    assert 0 < cell.best <= cell.first


def test_the_errors_are_those_of_sigma(peers):
    hits = peers.hits_of(100)
    assert peers.errors(hits, law(hits))["off_linear"] < 1e-15
    assert peers.errors(hits, 1.01 * law(hits))["off_linear"] == pytest.approx(0.01)
    assert peers.errors(hits, -law(hits))["off_linear"] == pytest.approx(2)
    nearest = abs(hits).min()  # within σ_x of the fold, where the true spread is less by a third or more
    assert nearest < 0.01
    assert peers.errors(hits, law(hits))["off_sd"] == pytest.approx(
        law(nearest) / peers.standard_deviation(nearest) - 1
    )
    sd = np.array([peers.standard_deviation(each) for each in hits])
    assert peers.errors(hits, sd)["off_sd"] == 0


def test_a_way_that_cannot_run_says_why(peers, monkeypatch):
    assert "not possible: needs 8 TB" in next(peers.rows([peers.run("exercise", 10**6)]))
    monkeypatch.setattr(peers, "find_spec", lambda name: None)
    assert "not installed" in next(peers.rows([peers.run("gvar", 100)]))


def test_the_figure_of_peers_is_the_same_every_time(peers, tmp_path):
    cells = [peers.Cell(name, muons, "", 1.0, 0.5, 2e6) for name in peers.WAYS for muons in peers.MUONS[:2]]
    cells.append(peers.Cell("exercise", peers.MUONS[2], "not possible"))
    pages = []
    for name in ("one.svg", "other.svg"):
        peers.draw(cells, tmp_path / name)
        pages.append((tmp_path / name).read_bytes())
    assert pages[0] == pages[1]
    assert b"dc:date" not in pages[0]


def test_tables():
    from common import aligned, markdown

    head, rows = ["way", "s"], [["one", "1.5"], ["another", "12"]]
    assert aligned(head, rows) == "way        s\none      1.5\nanother   12"
    assert markdown(head, rows) == "| way | s |\n| --- | ---: |\n| one | 1.5 |\n| another | 12 |"


def test_a_table_goes_to_its_place_in_the_docs(tmp_path):
    from common import into_docs

    page = tmp_path / "page.md"
    page.write_text("before\n<!-- t: written by the benchmark -->\nold\n<!-- end of t -->\nafter\n")
    for text in ("new", "newer"):
        into_docs("t", text, page)
        assert page.read_text() == (f"before\n<!-- t: written by the benchmark -->\n{text}\n<!-- end of t -->\nafter\n")
    with pytest.raises(SystemExit, match="no place for the table 'other'"):
        into_docs("other", "new", page)


def test_each_table_of_the_docs_has_a_script_that_writes_it():
    scripts = "".join(path.read_text() for path in BENCHMARKS.glob("*.py"))
    places = {
        name for page in PAGES for name in re.findall(r"<!-- (.+): written by the benchmark -->", page.read_text())
    }
    assert {name for name in places if f'"{name}"' not in scripts} == set()
    assert set(re.findall(r'into_docs\("(\w+)"', scripts)) <= places


def test_all_benchmarks_can_be_imported():
    """In a process of their own, since some keep it on one core."""
    pytest.importorskip("jax")
    names = ", ".join(sorted(path.stem for path in BENCHMARKS.glob("*.py")))
    subprocess.run([sys.executable, "-c", f"import {names}"], cwd=BENCHMARKS, check=True)


def test_measures_for_speed_can_be_undone():
    import gains

    with gains.SMALL_PIECES(), gains.FEW_MUONS():
        assert (gains.truth_toys.PIECES_TOGETHER, gains.components.DIFFERENTIATED_AT_A_TIME) == (1, 2_048)


def test_the_jobs_of_a_run_are_counted_by_what_they_used(tmp_path):
    import scans

    for path in ("logs/exercise/tally/a.tsv", "logs/exercise/tally/b.tsv", "logs/exercise/plot/study.tsv"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).touch()
    (tmp_path / "logs/exercise/plot/study.log").touch()
    assert scans.jobs_of(tmp_path) == 3


def frames(*paths):
    """The innermost of frames in such files, each called by the one before."""
    frame = None
    for path in paths:
        frame = SimpleNamespace(f_code=SimpleNamespace(co_filename=path), f_back=frame)
    return frame


@pytest.mark.parametrize(
    ("part", "paths"),
    [
        ("imports", [".snakemake/scripts/tmp.plot.py"]),
        ("arithmetic", ["s.py", "src/pullback/steps/infer.py", "site-packages/torch/_tensor.py"]),
        ("arithmetic", ["s.py", "src/pullback/steps/infer.py", "src/pullback/models/one_hit.py"]),
        (
            "I/O",
            [
                "s.py",
                "src/pullback/report/figures/plot.py",
                "src/pullback/store/artefact.py",
                "site-packages/h5py/_hl/files.py",
            ],
        ),
        (
            "I/O",
            ["s.py", "pullback/store/artefact.py", "site-packages/h5py/_hl/dataset.py", "numpy/_core/x.py"],
        ),
        (
            "plotting",
            ["s.py", "pullback/report/figures/plot.py", "site-packages/matplotlib/axes/_axes.py", "numpy/x/y.py"],
        ),
        ("imports", ["s.py", "src/pullback/steps/infer.py", "<frozen importlib._bootstrap>", "torch/__init__.py"]),
        ("plan", ["s.py", "src/pullback/study/plan.py", "site-packages/pydantic/main.py"]),
        ("waiting", ["s.py", "src/pullback/job_server.py"]),
        ("imports", ["src/pullback/job_server.py", "<frozen importlib._bootstrap>", "torch/__init__.py"]),
        ("arithmetic", ["src/pullback/job_server.py", "runpy.py", "s.py", "src/pullback/steps/toys.py", "n.py"]),
    ],
)
def test_time_is_charged_to_the_innermost_part(sampled, part, paths):
    assert sampled.part_of(frames(*paths)) == part


def test_the_parts_are_made_of_packages_that_exist(sampled):
    for name in sampled.PACKAGES:
        assert [*(PROJECT / "src" / "pullback").rglob(f"{name}/__init__.py")], name


def test_the_parts_of_a_run_are_the_whole(sampled, tmp_path):
    import scans

    (tmp_path / "1.json").write_text(json.dumps({"imports": 1.0, "plotting": 1.5, "waiting": 4.0}))
    found = scans.parts_of(5.0, tmp_path)
    assert found == Counter({"Snakemake": 2.5, "imports": 1.0, "plotting": 1.5})
    assert set(scans.PARTS) == {"Snakemake", "imports", "arithmetic", *sampled.PACKAGES.values()}


def test_the_scans_have_the_points_that_they_say():
    import scans

    from pullback.study.plan import Study

    for points, scan in scans.SCANS.items():
        assert len(Study.from_config({**scans.DEFAULT, "scan": scan}).points) == points


def test_the_same_hits_are_read_from_all_lists(tmp_path, capsys):
    import long_lists

    long_lists.write(tmp_path, 1000)
    for name in long_lists.FILES:
        long_lists.read(str(tmp_path / f"{name}.csv"))
        long_lists.peek_time(str(tmp_path / f"{name}.csv"))
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    hits = {tuple(line[3:]) for line in lines[::2]}
    assert [muons for muons, _ in hits] == ["200"]
    assert all(float(seconds) < 10 and int(length) > 500 for seconds, length in lines[1::2])


def test_every_figure_of_the_docs_is_shown():
    text = "\n".join(page.read_text() for page in PAGES)
    drawn = sorted(path.name for path in (PROJECT / "docs" / "figures").iterdir())
    assert drawn == sorted(set(re.findall(r"\]\((?:docs/)?figures/([^)]+)\)", text)))


def test_the_commands_in_the_docs_are_those_of_scripts():
    named = {each for page in PAGES for each in re.findall(r"python benchmarks/(\w+)\.py", page.read_text())}
    scripts = {path.stem for path in BENCHMARKS.glob("*.py")} - {"common", "jax_models"}
    assert named == scripts
    listed = re.findall(r"^\| `(\w+)\.py`", (BENCHMARKS / "README.md").read_text(), re.MULTILINE)
    assert sorted(listed) == sorted(scripts)


def test_a_sampled_run_has_all_parts_and_leaves_no_server():
    import scans

    took, jobs, parts = scans.run(1, "1", sampled=True)
    assert jobs == 11
    assert all(parts[part] > 0 for part in scans.PARTS)
    assert parts.total() == pytest.approx(took)
    left = [each for each in psutil.process_iter() if "PULLBACK_PARTS" in _environment(each)]
    assert not left


def _environment(process):
    try:
        return process.environ()
    except psutil.Error:
        return {}
