"""Throw toys around true hits of a batch, and count how often intervals hold the truth."""

from pullback.job_server import forked

if not forked(snakemake, __file__):
    from pullback.steps.coverage import measure_coverage
    from pullback.steps.job import batch_of, job

    with job(snakemake):
        measure_coverage(
            batch_of(snakemake),
            snakemake.input.truth,
            snakemake.input.reco,
            snakemake.input.sigma,
            snakemake.output.coverage,
        )
