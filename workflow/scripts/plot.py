"""Draw the figures of the study."""

from pullback.job_server import forked

if not forked(snakemake, __file__):
    from pullback.report.figures.plot import plot
    from pullback.steps.job import job, study_of

    with job(snakemake):
        plot(
            study_of(snakemake),
            snakemake.input.study,
            snakemake.input.validation,
            snakemake.output.drawn,
            snakemake.input.get("target"),
            snakemake.input.get("alignment"),
            snakemake.threads,
        )
