"""Write the report of the study."""

from pullback.job_server import forked

if not forked(snakemake, __file__):
    from pullback.report.page import write_report
    from pullback.steps.job import job, study_of

    with job(snakemake):
        write_report(
            study_of(snakemake),
            snakemake.input.validation,
            snakemake.input.study,
            snakemake.input.figures,
            snakemake.output.report,
            snakemake.input.get("target"),
            snakemake.input.get("alignment"),
        )
