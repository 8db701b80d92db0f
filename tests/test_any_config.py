"""Whatever config a user may write: it is planned, handed to jobs unchanged, run, drawn and reported.

The examples are the same in every run of the same sources: `PULLBACK_CONFIGS=500 pytest tests/test_any_config.py` looks
for others, 500 plans and 50 runs.
"""

import os
from contextlib import nullcontext
from importlib import import_module
from itertools import product
from pathlib import Path
from pkgutil import walk_packages

import numpy as np
import pytest
import yaml
from configs import Written, configs
from hypothesis import HealthCheck, Phase, given, settings
from running import Run

import pullback
from pullback.errors import PullbackError
from pullback.store.columns import FLAGS
from pullback.store.study_file import open_study
from pullback.study.artefact_configs import KINDS
from pullback.study.batches import Batch
from pullback.study.plan import Study
from pullback.validation.csv_tables import write_config
from pullback.validation.evidence import Evidence
from pullback.validation.verdict import check

# Hypothesis also tries numbers and words of those of the project's modules that are imported: all of them, so that
# examples don't depend on which tests ran before.
for module in walk_packages(pullback.__path__, "pullback."):
    if not module.name.endswith("__main__"):
        import_module(module.name)

HUNT = int(os.environ.get("PULLBACK_CONFIGS", 0))


def examples(fixed: int, hunted: int, *, shrink: bool = True) -> settings:
    """The settings of a test: some examples that are always the same, or in a hunt many that are new."""
    return settings(
        phases=[Phase.generate, *([Phase.shrink] if shrink else [])],
        derandomize=not HUNT,
        max_examples=hunted if HUNT else fixed,
        deadline=None,
        database=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.function_scoped_fixture],
        print_blob=False,
    )


@pytest.fixture
def folder(tmp_path_factory):
    """Makes a new empty working directory, one for each example."""

    def new() -> Path:
        path = tmp_path_factory.mktemp("study")
        os.chdir(path)
        return path

    return new


def significant(number: str) -> str:
    """The digits by which the report tells a number, of which it shows twelve, with the unit that suits it."""
    return f"{abs(float(number)):.11e}".partition("e")[0].replace(".", "").rstrip("0")


def plan(written: Written) -> Study:
    """The study of a config that is read from a YAML file."""
    return Study.from_config(yaml.safe_load(yaml.safe_dump(written.write(), sort_keys=False, allow_unicode=True)))


def assert_same(one: Study, other: Study) -> None:
    """Two plans are the same, down to what each job is told."""
    assert [point.label for point in one.points] == [point.label for point in other.points]
    assert [point.values for point in one.points] == [point.values for point in other.points]
    assert one.muons == other.muons
    assert one.digests == other.digests
    # As JSON, which leaves out on which device models are evaluated.
    for made, again in zip([one, *one.points], [other, *other.points], strict=True):
        assert made.config.model_dump(mode="json") == again.config.model_dump(mode="json")
    assert one.digest == other.digest
    assert one.to_json() == other.to_json()
    assert [*one.batches] == [*other.batches]
    for name in one.batches:
        for kind in KINDS:
            assert one.batch(kind, name).to_json() == other.batch(kind, name).to_json()


@given(configs())
@examples(100, HUNT)
def test_any_config_is_planned_and_handed_on_unchanged(folder, written):
    here = folder()
    study = plan(written)
    of_job = Study.from_json(study.to_json())
    assert_same(study, of_job)
    for batch in study.batches.values():
        for kind in KINDS:
            made = batch.of_kind(kind)
            assert Batch.from_json(made.to_json()) == made
    write_config(of_job, here / "config.yaml")
    resolved = yaml.safe_load((here / "config.yaml").read_text(encoding="utf-8"))
    assert_same(study, Study.from_config(resolved))
    of_target = Study.from_json(study.target_to_json())
    assert [point.label for point in of_target.points] == [point.label for point in study.points]
    labels = [part.label for batch in study.batches.values() for part in batch.parts if part.first == 0]
    assert labels == [point.label for point in study.points]


@given(configs(small=True))
@examples(1, 1, shrink=False)
def test_a_small_config_runs_to_its_report(folder, written):
    assert_runs_to_its_report(written, folder())


@pytest.mark.slow
@given(configs(small=True))
@examples(7, max(1, HUNT // 10), shrink=False)
def test_any_small_config_runs_to_its_report(folder, written):
    assert_runs_to_its_report(written, folder(), checked=True)


def assert_runs_to_its_report(written, here, *, checked=False):
    """A study is made, drawn and reported, and has the same evidence in pieces; types are checked on the way or not."""
    raw = written.write()
    run = Run(raw, here, checked=checked).make().show()
    evidence = Evidence.read(run.outputs.validation)
    labels = [point.label for point in run.study.points]
    names = [each.name for each in run.study.model.observables]
    assert [(each.point, each.observable) for each in evidence.points] == [*product(labels, names)]
    assert evidence.verdict in ("pass", "fail", "inconclusive")
    strict = run.study.config.validation.strict
    refused = evidence.verdict == "fail" or (strict and evidence.verdict == "inconclusive")
    with pytest.raises(PullbackError, match=f"verdict {evidence.verdict}") if refused else nullcontext():
        assert f"verdict {evidence.verdict}" in check(run.outputs.validation, strict)

    kinds = [file for files in run.files.values() for file in files]
    for file in [*kinds, *run.tallies, *run.outputs, *run.figures, *run.printed, here / "report.html"]:
        assert file.stat().st_size > 0, file
    for svg in run.figures:
        assert "<path" in svg.read_text(encoding="utf-8")
    page = (here / "report.html").read_text(encoding="utf-8")
    for point in run.study.points:
        for value in point.label.split(",") if point.values else ():
            number = value.partition("=")[2]
            assert number in page or significant(number) in page.replace(".", "").replace(
                "\N{NARROW NO-BREAK SPACE}", ""
            )
    with open_study(run.outputs.study) as reader:
        for label in labels:
            for name in names:
                assert_flagged(reader, run, label, name)

    pieces = here / "pieces"
    again = Run({**raw, "compute": {**raw.get("compute", {}), "batch_cost": 1}}, pieces).make()
    assert len(again.study.batches) == len(labels)
    assert Evidence.read(again.outputs.validation) == evidence


def assert_flagged(reader, run, label, name):
    """Every muon has a usable σ, or a flag that says why not; without a confidence interval, σ may still be usable."""
    column = lambda form: reader.rows(f"{label}/{form.format(name)}")  # noqa: E731
    value, sigma, flag, hits = map(column, ("{}", "sigma_{}", "flag_{}", "x_reco"))
    assert len(value) == len(sigma) == len(flag) == len(hits) == run.study.muons[label]
    np.testing.assert_array_equal(
        (flag & np.uint8(255 - FLAGS["no_confidence_interval"])) == 0,
        np.isfinite(value) & np.isfinite(sigma) & (sigma > 0),
    )
    if not run.study.model.missing:
        np.testing.assert_array_equal((flag & FLAGS["hit_not_finite"]) > 0, ~np.isfinite(hits).all(axis=1))
    assert (column("linear_valid_{}") <= 1).all()
