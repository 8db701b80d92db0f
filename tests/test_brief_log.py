"""What plain `snakemake` shows, from records such as Snakemake's."""

import io
import logging
from types import SimpleNamespace

import pytest
from snakemake.logging import ColorizingTextHandler, DefaultFilter, DefaultFormatter, logger
from snakemake.settings.enums import Quietness
from snakemake_interface_logger_plugins.common import LogEvent

from pullback.brief_log import BriefHandler, be_brief

QUIET = {Quietness.PROGRESS, Quietness.REASON, Quietness.HOST}


@pytest.fixture
def told(tmp_path):
    """Tells a brief handler of a record, and returns what it has shown so far."""
    stream = io.StringIO()
    workflow = SimpleNamespace(local_exec=True)
    options = DefaultFilter(QUIET, debug_dag=False, verbose=False, dryrun=False, printshellcmds=False)
    handler = BriefHandler(
        ColorizingTextHandler(True, stream, DefaultFormatter(QUIET), options),
        workflow,
        lambda: str(tmp_path / "checked.txt"),
    )

    def tell(text="", level=logging.INFO, **fields):
        record = logging.LogRecord("snakemake", level, "", 0, text, None, None)
        vars(record).update(fields)
        handler.handle(record)
        return stream.getvalue()

    tell.workflow = workflow
    return tell


def job(number, rule, message="Doing it"):
    return {"event": LogEvent.JOB_INFO, "jobid": number, "rule_name": rule, "rule_msg": message, "reason": "why"}


def test_a_job_is_a_line_and_a_second_attempt_keeps_its_number(told):
    told(event=LogEvent.RUN_INFO, stats={"run_toys": 9, "plot": 1, "all": 1, "total": 11})
    told("Select jobs to execute...")
    told("Execute 2 jobs...")
    for number in (7, 3, 7):
        told(**job(number, "run_toys"))
    told("Finished job 7", event=LogEvent.JOB_FINISHED)
    assert told(**job(0, "all")) == "[ 1/10] Doing it\n[ 2/10] Doing it\n[ 1/10] Doing it\n"


def test_the_last_words_of_the_workflow_are_the_last(told):
    told("s: verdict pass.")
    told("Complete log(s): /x")
    assert told("Elapsed time: 0:00:01") == "s: verdict pass.\n"


def test_a_study_that_is_up_to_date_ends_in_its_verdict(told, tmp_path):
    assert told("Nothing to be done (all requested files are present).").endswith("present).\n")
    (tmp_path / "checked.txt").write_text("Is it right? pass.\ns: verdict pass.\n")
    assert told("Nothing to be done (all requested files are present).").endswith("right? pass.\ns: verdict pass.\n")


def test_what_a_job_has_said_of_its_error_stays_the_last_line(told):
    before = told(**job(7, "run_toys"))
    told("RuleException:\nCalledProcessError in file \"Snakefile\", line 138:\nCommand 'x'", logging.ERROR)
    failed = {"event": LogEvent.JOB_ERROR, "jobid": 7, "rule_name": "run_toys", "log": ["a.log", "a.tsv"]}
    told("", logging.ERROR, **failed)
    told("Shutting down, this might take some time.")
    told("Exiting because a job execution failed. Look above for error messages", logging.ERROR)
    told("Complete log(s): /x")
    shown = told("WorkflowError:\nAt least one job did not complete successfully.", logging.ERROR)
    assert shown == before


def test_a_job_that_was_killed_is_told_of(told):
    text = 'RuleException:\nCalledProcessError in file "x": died with <Signals.SIGKILL: 9>.'
    told(**job(7, "run_toys"))
    assert text in told(text, logging.ERROR)
    failed = {"event": LogEvent.JOB_ERROR, "jobid": 7, "rule_name": "run_toys", "log": ["a.log", "a.tsv"]}
    assert told("", logging.ERROR, **failed).endswith("\nrun_toys failed; its log: a.log\n")


def test_an_error_is_whole_and_the_log_is_named(told):
    told("Error [of] a job", logging.ERROR)
    assert told("Complete log(s): /x") == "Error [of] a job\nComplete log(s): /x\n"


def test_a_job_of_another_workflow_is_shown_as_snakemake_does(told):
    fields = {"local": False, "is_checkpoint": False, "input": ["in"], "output": ["out"], "log": [], "benchmark": None}
    fields |= {"wildcards": {}, "priority": 0, "threads": 1, "resources": {}}
    assert "rule mine:\n    input: in\n    output: out" in told(**job(1, "mine", None), **fields)


def test_a_cluster_is_shown_as_snakemake_does(told):
    told.workflow.local_exec = False
    told("Select jobs to execute...")
    assert "\nJob 1: Doing it\n" in told(**job(1, "run_toys"))


@pytest.mark.parametrize(
    ("quiet", "asked", "brief"),
    [
        (QUIET, {}, True),
        (None, {}, False),
        ({Quietness.REASON}, {}, False),
        (QUIET, {"dryrun": True}, False),
        (QUIET, {"verbose": True}, False),
        (QUIET, {"debug_dag": True}, False),
    ],
)
def test_it_is_brief_only_where_nothing_more_is_asked_for(quiet, asked, brief, monkeypatch):
    shown, other = ColorizingTextHandler(True, io.StringIO()), logging.NullHandler()
    monkeypatch.setattr(logger, "handlers", [shown, other])
    settings = {"quiet": quiet, "dryrun": False, "verbose": False, "debug_dag": False} | asked
    be_brief(SimpleNamespace(output_settings=SimpleNamespace(**settings)), lambda: "")
    assert [type(each) for each in logger.handlers if each is not other] == [
        BriefHandler if brief else ColorizingTextHandler
    ]
    assert other in logger.handlers
