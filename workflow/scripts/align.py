"""Find where the layers are from the residuals of the tracks."""

from pullback.job_server import forked

if not forked(snakemake, __file__):
    from pullback.steps.aligning import align
    from pullback.steps.job import job
    from pullback.study.plan import Study

    with job(snakemake):
        align(Study.from_json(snakemake.params.study), snakemake.output.alignment)
