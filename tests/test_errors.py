"""Kinds of errors that a script can tell apart."""

import pytest
from running import Run

import pullback
from pullback import ArtefactError, ConfigError, HitsError, ModelError, PullbackError
from pullback.study.plan import Study

OWN = {"file": "model.py", "coordinates": ["x"], "observables": [{"name": "theta", "unit": "rad"}]}


@pytest.mark.parametrize(
    ("kind", "wrong"),
    [
        (ConfigError, {"detector": {"resolution": -1}}),
        (ConfigError, {"scan": {"detector.resolution": []}}),
        (ConfigError, {"systematics": {"model.dx": 0.1}}),
        (ConfigError, {"target": {"sigma_phi": 0.1, "vary": "detector.resolution"}}),
        (ConfigError, {"source": {"kind": "recorded", "file": "hits.csv", "columns": {"y": "x"}}}),
        (ConfigError, {"model": {"name": "track", "z": [1.0, 1.0]}}),
        (HitsError, {"source": {"kind": "recorded", "file": "absent.csv"}}),
        (HitsError, {"source": {"kind": "recorded", "file": "empty.csv"}}),
        (ModelError, {"model": {**OWN, "file": "absent.py"}}),
        (ModelError, {"model": {**OWN, "function": "absent"}}),
        (ConfigError, {"model": {**OWN, "function": "absent"}, "seed": -1}),
    ],
)
def test_what_a_plan_refuses_says_whether_config_hits_or_model_are_wrong(kind, wrong, tmp_path, monkeypatch):
    """One error tells every mistake: several of them are the config's."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "hits.csv").write_text("x\n0.1\n")
    (tmp_path / "empty.csv").write_text("x\n")
    (tmp_path / "model.py").write_text("def infer(hits):\n    return hits\n")
    with pytest.raises(PullbackError) as caught:
        Study.from_config({"study": "s", "scan": None, **wrong})
    assert type(caught.value) is kind


def test_a_hit_that_is_no_number_is_found_when_it_is_read(tmp_path):
    from pullback.hits.hits_file import HitsFile

    (tmp_path / "words.csv").write_text("x\n0.1\nhello\n")
    file = HitsFile(str(tmp_path / "words.csv"), ("x",), {}, {}, "m", "")
    with pytest.raises(HitsError, match="row 2, column 'x': 'hello' is not a number"):
        list(file.blocks(0, 2))


def test_damaged_evidence_and_artefacts_of_another_config_are_told_apart_from_the_config(tmp_path):
    from pullback.store import artefact
    from pullback.validation.evidence import Evidence

    config = {"study": "s", "source": {"muons": 10}}
    (tmp_path / "validation.json").write_text("{}")
    with pytest.raises(ArtefactError, match="damaged"):
        Evidence.read(tmp_path / "validation.json")
    run, other = (Run({**config, "seed": seed}, tmp_path) for seed in (1, 2))
    (batch,) = run.study.batches
    path = tmp_path / "truth.h5"
    with artefact.create(path, run.study.batch("truth", batch)):
        pass
    with pytest.raises(ArtefactError, match="another config"), artefact.read(path, other.study.batch("truth", batch)):
        pass


def test_no_file_where_another_would_be_lost_is_no_error_of_config_or_results(tmp_path):
    from pullback.files import write_text

    (tmp_path / "folder").mkdir()
    with pytest.raises(PullbackError) as caught:
        write_text(tmp_path / "folder", "")
    assert type(caught.value) is PullbackError


def test_a_missing_gpu_is_an_error_of_the_config():
    from pullback.steps.common import configured_device

    with pytest.raises(ConfigError, match="must be auto, cpu or cuda"):
        configured_device("tpu")


def test_one_except_clause_catches_all():
    kinds = [getattr(pullback, name) for name in pullback.__all__ if name.endswith("Error")]
    assert len(kinds) == 5
    assert all(issubclass(kind, PullbackError) for kind in kinds)
