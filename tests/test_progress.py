import logging

import pytest
from snakemake_interface_logger_plugins.common import LogEvent

from snakemake_logger_plugin_pullback import LogHandler


@pytest.fixture
def handler():
    made = LogHandler(None, None)
    yield made
    made.close()


def tell(handler, text="", level=logging.INFO, **fields):
    record = logging.LogRecord("snakemake", level, "", 0, text, None, None)
    vars(record).update(fields)
    handler.emit(record)


def job(handler, number, rule):
    tell(handler, event=LogEvent.JOB_INFO, jobid=number, rule_name=rule, rule_msg=f"{rule}ing")


def test_a_rule_is_a_line_when_its_last_job_is_done(handler, capsys):
    tell(handler, event=LogEvent.RUN_INFO, stats={"run_toys": 2, "plot": 1, "all": 1, "total": 4})
    for number, rule in enumerate(["run_toys", "run_toys", "plot", "all"]):
        job(handler, number, rule)
    lines = []
    for number in (2, 0, 1, 3):
        tell(handler, event=LogEvent.JOB_FINISHED, job_id=number)
        lines.append(capsys.readouterr().err)
    assert [line.split()[:1] for line in lines] == [["plot"], [], ["run_toys"], []]
    assert all(line.endswith(" s\n") for line in lines if line)


SAID = "RuleException:\nCalledProcessError in file \"Snakefile\", line 138:\nCommand 'x' "


def test_what_a_job_has_said_of_its_error_stays_the_last_line(handler, capsys):
    """Others may end after it."""
    for number, rule in enumerate(["plot", "report"]):
        job(handler, number, rule)
    tell(handler, SAID + "returned non-zero exit status 1.", logging.ERROR)
    tell(handler, event=LogEvent.JOB_ERROR, rule_name="plot", log=["logs/s/plot/study.log"])
    tell(handler, event=LogEvent.JOB_FINISHED, job_id=1)
    assert capsys.readouterr().err == ""


def test_a_job_that_was_killed_is_told_of(handler, capsys):
    job(handler, 0, "plot")
    tell(handler, SAID + "died with <Signals.SIGKILL: 9>.", logging.ERROR)
    tell(handler, event=LogEvent.JOB_ERROR, rule_name="plot", log=["logs/s/plot/study.log"])
    said = capsys.readouterr().err
    assert "died with <Signals.SIGKILL: 9>.\n" in said
    assert said.endswith("\nplot failed; its log: logs/s/plot/study.log\n")


def test_a_failure_elsewhere_names_its_log_and_the_rest_is_silent(handler, capsys):
    job(handler, 0, "plot")
    tell(handler, event=LogEvent.JOB_ERROR, rule_name="plot", log=["logs/s/plot/study.log", "logs/s/plot/study.tsv"])
    tell(handler, "Exiting because a job execution failed. Look above for error message", logging.ERROR)
    tell(handler, "WorkflowError:\nAt least one job did not complete successfully.", logging.ERROR)
    tell(handler, "Select jobs to execute...")
    tell(handler, "the disk [red] is slow", logging.WARNING)
    assert capsys.readouterr().err == "plot failed; its log: logs/s/plot/study.log\nthe disk [red] is slow\n"


def test_a_job_that_ctrl_c_ended_did_not_fail(handler, capsys):
    job(handler, 0, "plot")
    tell(handler, "Terminating processes on user request, this might take some time.")
    tell(handler, event=LogEvent.JOB_ERROR, rule_name="plot", log=["logs/s/plot/study.log"])
    assert capsys.readouterr().err == ""
