"""pullback: from muon hits to angles with validated uncertainties."""

import os
import sys

from snakemake.logging import logger

# In a clone, run the package beside this file, whatever the environment. In an installed package, this file is part of it.
# The folder is that of this file, also where another workflow uses it as a module.
HERE = str(workflow.current_basedir)
SOURCE = os.path.join(HERE, "src")
if os.path.isdir(SOURCE):
    sys.path.insert(0, SOURCE)
    os.environ.update(PYTHONPATH=os.pathsep.join(filter(None, [SOURCE, os.environ.get("PYTHONPATH")])))

from pullback.job_server import no_further_jobs, start, start_for

# First, since the server imports torch while this file is read.
start_for(workflow)

from pullback.brief_log import be_brief
from pullback.config.base import nearest
from pullback.config.places import at_places
from pullback.config.text import stop_at_mistakes
from pullback.errors import PullbackError, in_lines
from pullback.report.gallery import drawn_from, gallery
from pullback.store.alignment_file import kept_alignment
from pullback.store.provenance import code_digest
from pullback.study.aligning import alignment_to_json, expected, is_aligned
from pullback.study.plan import Study

# What a workflow shows that uses this one as a module is its own concern.
ALONE = os.path.realpath(HERE) == os.path.realpath(str(workflow.basedir))
if workflow.is_main_process and ALONE:
    be_brief(workflow, lambda: rules.check.output.checked)


report: "workflow/report/workflow.rst"


# The default config file, unless --configfile is given.
DEFAULT = os.path.join(HERE, "config", "config.yaml")

# Checked here, since Snakemake keeps only the last of duplicate keys.
CONFIGS = workflow.overwrite_configfiles or [DEFAULT]
stop_at_mistakes(CONFIGS)
if not workflow.overwrite_configfiles:

    configfile: DEFAULT


try:
    STUDY = Study.from_config(config)
    KEPT = kept_alignment(STUDY)
except PullbackError as error:
    sys.exit(in_lines(at_places(error, CONFIGS if ALONE else [], workflow.config_settings.config)))

# The figures of a study depend on its systematics, to which the alignment of its layers adds.
FIGURES = gallery(expected(STUDY, KEPT and KEPT.aligned))

RESULTS = f"results/{STUDY.config.study}"
LOGS = f"logs/{STUDY.config.study}"


def made_from(kind):
    """The batch of an artefact as a parameter: the rule reruns when it changes."""

    def batch(wildcards):
        if wildcards.batch not in STUDY.batches:
            raise WorkflowError(
                f"pullback: {wildcards.batch}: no such batch; {nearest(wildcards.batch, STUDY.batches)}"
            )
        return STUDY.batch(kind, wildcards.batch).to_json()

    return batch


def batches(kind):
    """The artefacts of one kind, one per batch."""
    return [f"{RESULTS}/{kind}/{batch}.h5" for batch in STUDY.batches]


def positions(*kinds):
    """The artefacts of a batch, of those kinds that the study has: recorded hits have no truth."""
    return {kind: f"{RESULTS}/{kind}/{{batch}}.h5" for kind in kinds if kind in STUDY.kinds}


def files_of_user(*kinds):
    """The user's files that a rule depends on: those of the model, the hits and an alignment, if any."""
    kept, model, hits = (
        getattr(each, "file", None) for each in (STUDY.config.alignment, STUDY.config.model, STUDY.config.source)
    )
    files = {"alignment": kept, "model": model, "hits": hits}
    # Without ./ at the beginning, of which Snakemake warns for every rule.
    return {kind: os.path.normpath(files[kind]) for kind in kinds if files[kind]}


def target():
    """The file with the value that gives the wanted σ, if the config has a target."""
    return {"target": f"{RESULTS}/target.json"} if STUDY.config.target else {}


def alignment():
    """The file that says where the layers are, if tracks align them."""
    return {"alignment": f"{RESULTS}/alignment.json"} if is_aligned(STUDY) else {}


def needs():
    """Memory (MB) and run time (minutes) that a job requests, by its work, with more at each attempt.

    And the device, the same for all rules, since they form one job on a cluster.
    """
    return {
        "device": STUDY.config.compute.device,
        "mem_mb": lambda wildcards, attempt: attempt * STUDY.megabytes,
        "runtime": lambda wildcards, attempt: attempt * STUDY.minutes(wildcards.get("batch")),
    }


# With both --cores and --jobs, only now is it known that jobs run on this machine.
onstart:
    if workflow.is_main_process and workflow.local_exec:
        start()


# Any name, since Snakemake would try a list of thousands for every file; `made_from` refuses unknown ones.
wildcard_constraints:
    batch="[^/]+",


localrules:
    all,
    check,


# What all jobs have in common. The script is the one that `params.step` names; what a rule says itself takes precedence.
rule step:
    log:
        f"{LOGS}/step.log",
    threads: 1
    resources:
        **needs(),
    params:
        code=code_digest("steps"),
    script:
        "workflow/scripts/{params.step}.py"


if is_aligned(STUDY):

    use rule step as align with:
        input:
            **files_of_user("model", "hits", "alignment"),
        output:
            **alignment(),
        log:
            f"{LOGS}/align/study.log",
            usage=f"{LOGS}/align/study.tsv",
        params:
            step="align",
            study=alignment_to_json(STUDY),
        message:
            "Aligning the layers by the tracks"


if STUDY.recorded:

    use rule step as import_hits with:
        input:
            **files_of_user("model", "hits"),
            **alignment(),
        output:
            reco=f"{RESULTS}/reco/{{batch}}.h5",
        log:
            f"{LOGS}/import_hits/{{batch}}.log",
            usage=f"{LOGS}/import_hits/{{batch}}.tsv",
        params:
            step="import_hits",
            batch=made_from("reco"),
        message:
            "Importing the recorded hits of {wildcards.batch}"

else:

    use rule step as simulate_hits with:
        input:
            **files_of_user("model"),
        output:
            truth=f"{RESULTS}/truth/{{batch}}.h5",
        log:
            f"{LOGS}/simulate_hits/{{batch}}.log",
            usage=f"{LOGS}/simulate_hits/{{batch}}.tsv",
        params:
            step="simulate_hits",
            batch=made_from("truth"),
        message:
            "Simulating the true hits of {wildcards.batch}"

    use rule step as smear_hits with:
        input:
            **files_of_user("model"),
            **alignment(),
            truth=f"{RESULTS}/truth/{{batch}}.h5",
        output:
            reco=f"{RESULTS}/reco/{{batch}}.h5",
        log:
            f"{LOGS}/smear_hits/{{batch}}.log",
            usage=f"{LOGS}/smear_hits/{{batch}}.tsv",
        params:
            step="smear_hits",
            batch=made_from("reco"),
        message:
            "Smearing the hits of {wildcards.batch}"


use rule step as infer_theta with:
    input:
        **files_of_user("model"),
        **alignment(),
        **positions("truth", "reco"),
    output:
        theta=f"{RESULTS}/theta/{{batch}}.h5",
    log:
        f"{LOGS}/infer_theta/{{batch}}.log",
        usage=f"{LOGS}/infer_theta/{{batch}}.tsv",
    params:
        step="infer_theta",
        batch=made_from("theta"),
    message:
        "Inferring the angles of {wildcards.batch}"


if "fits" in STUDY.kinds:

    use rule step as fit_residuals with:
        input:
            **files_of_user("model"),
            **alignment(),
            reco=f"{RESULTS}/reco/{{batch}}.h5",
        output:
            fits=f"{RESULTS}/fits/{{batch}}.h5",
        log:
            f"{LOGS}/fit_residuals/{{batch}}.log",
            usage=f"{LOGS}/fit_residuals/{{batch}}.tsv",
        params:
            step="fit_residuals",
            batch=made_from("fits"),
        message:
            "Comparing the hits of {wildcards.batch} with the fit"


use rule step as propagate_uncertainty with:
    input:
        **files_of_user("model"),
        **alignment(),
        **positions("truth", "reco"),
    output:
        sigma=f"{RESULTS}/sigma/{{batch}}.h5",
    log:
        f"{LOGS}/propagate_uncertainty/{{batch}}.log",
        usage=f"{LOGS}/propagate_uncertainty/{{batch}}.tsv",
    priority: 1  # before toys around hits, since toys around true hits wait for it
    params:
        step="propagate_uncertainty",
        batch=made_from("sigma"),
    message:
        "Propagating the resolution through the inference of {wildcards.batch}"


use rule step as run_toys with:
    input:
        **files_of_user("model"),
        **alignment(),
        reco=f"{RESULTS}/reco/{{batch}}.h5",
    output:
        toys=f"{RESULTS}/toys/{{batch}}.h5",
    log:
        f"{LOGS}/run_toys/{{batch}}.log",
        usage=f"{LOGS}/run_toys/{{batch}}.tsv",
    params:
        step="run_toys",
        batch=made_from("toys"),
    message:
        "Throwing toys around muons of {wildcards.batch}"


if not STUDY.recorded:

    use rule step as measure_coverage with:
        input:
            **files_of_user("model"),
            **alignment(),
            truth=f"{RESULTS}/truth/{{batch}}.h5",
            reco=f"{RESULTS}/reco/{{batch}}.h5",
            sigma=f"{RESULTS}/sigma/{{batch}}.h5",
        output:
            coverage=f"{RESULTS}/coverage/{{batch}}.h5",
        log:
            f"{LOGS}/measure_coverage/{{batch}}.log",
            usage=f"{LOGS}/measure_coverage/{{batch}}.tsv",
        priority: 1  # before angles, since these take the least time
        params:
            step="measure_coverage",
            batch=made_from("coverage"),
        message:
            "Throwing toys around true hits of {wildcards.batch}"


use rule step as tally with:
    input:
        **files_of_user("model"),
        **alignment(),
        **positions(*STUDY.kinds),
    output:
        tally=f"{RESULTS}/tally/{{batch}}.h5",
    log:
        f"{LOGS}/tally/{{batch}}.log",
        usage=f"{LOGS}/tally/{{batch}}.tsv",
    params:
        step="tally",
        batch=made_from("tally"),
        code=code_digest("validation"),
    message:
        "Tallying the muons of {wildcards.batch}"


if STUDY.config.target:

    use rule step as find_target with:
        input:
            **files_of_user("model", "hits"),
            **alignment(),
        output:
            target=f"{RESULTS}/target.json",
        log:
            f"{LOGS}/find_target/study.log",
            usage=f"{LOGS}/find_target/study.tsv",
        params:
            step="find_target",
            study=STUDY.target_to_json(),
        message:
            "Looking for the value that reaches the wanted σ"


use rule step as validate with:
    input:
        **files_of_user("model"),
        **alignment(),
        tally=batches("tally"),
    output:
        config=f"{RESULTS}/config.yaml",
        points=f"{RESULTS}/points.csv",
        study=f"{RESULTS}/study.h5",
        validation=f"{RESULTS}/validation.json",
        schema=f"{RESULTS}/validation.schema.json",
        table=report(
            f"{RESULTS}/validation.csv",
            caption="workflow/report/validation.rst",
            category="Tables",
            labels={"table": "validation, bin by bin"},
        ),
        summary=report(
            f"{RESULTS}/summary.csv",
            caption="workflow/report/summary.rst",
            category="Tables",
            labels={"table": "summary, point by point"},
        ),
    log:
        f"{LOGS}/validate/study.log",
        usage=f"{LOGS}/validate/study.tsv",
    params:
        step="validate",
        study=STUDY.to_json(),
        code=code_digest("validation"),
    message:
        "Judging the uncertainties against toys and truth"


use rule step as plot with:
    input:
        **files_of_user("model"),
        **alignment(),
        **target(),
        batches=[f"{RESULTS}/{kind}/{batch}.h5" for kind, batch in drawn_from(STUDY)],
        study=rules.validate.output.study,
        validation=rules.validate.output.validation,
    output:
        drawn=[
            report(
                f"{RESULTS}/figures/{figure.stem}.svg",
                caption=f"workflow/report/{figure.kind}.rst",
                category="Figures",
                subcategory=STUDY.words.get(figure.subject, figure.subject),
                labels={"figure": figure.kind, "observable": figure.observable or "all"},
            )
            for figure in FIGURES
        ],
        printed=[f"{RESULTS}/figures/{figure.stem}.pdf" for figure in FIGURES if STUDY.config.figures.pdf],
    log:
        f"{LOGS}/plot/study.log",
        usage=f"{LOGS}/plot/study.tsv",
    threads: 4
    params:
        step="plot",
        study=STUDY.to_json(),
        code=code_digest("report"),
    message:
        "Drawing the figures"


use rule step as report with:
    input:
        **files_of_user("model"),
        **alignment(),
        **target(),
        study=rules.validate.output.study,
        validation=rules.validate.output.validation,
        figures=rules.plot.output.drawn,
        # What the report links to, beside it.
        linked=[
            *(rules.validate.output[name] for name in ("config", "points", "table", "summary")),
            *rules.plot.output.printed,
        ],
    output:
        report=report(
            f"{RESULTS}/report.html",
            caption="workflow/report/report.rst",
            category="Report",
            labels={"page": "report"},
        ),
    log:
        f"{LOGS}/report/study.log",
        usage=f"{LOGS}/report/study.tsv",
    params:
        step="report",
        study=STUDY.to_json(),
        code=code_digest("report"),
    message:
        "Writing the report"


use rule step as check with:
    input:
        validation=rules.validate.output.validation,
        report=rules.report.output.report,
    output:
        checked=f"{RESULTS}/checked.txt",
    log:
        f"{LOGS}/check/study.log",
        usage=f"{LOGS}/check/study.tsv",
    retries: 0  # a verdict stays what it is
    params:
        step="check",
        code=code_digest("validation"),
        strict=STUDY.config.validation.strict,
    message:
        "Checking the verdict"


# All files by name, so that any missing file is made again.
rule all:
    default_target: True
    input:
        [batches(kind) for kind in (*STUDY.kinds, "tally")],
        target().values(),
        alignment().values(),
        rules.validate.output,
        rules.plot.output,
        rules.report.output,
        rules.check.output,
    message:
        "All results are there"


# The last words of a run; those of a run that fails are its error.
onsuccess:
    no_further_jobs()
    if os.path.exists(rules.check.output.checked):
        logger.info(open(rules.check.output.checked, encoding="utf-8").read().rstrip())
