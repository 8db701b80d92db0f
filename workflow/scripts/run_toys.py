"""Throw toys around muons of a batch."""

from pullback.job_server import forked

if not forked(snakemake, __file__):
    from pullback.steps.job import batch_of, job
    from pullback.steps.toys import run_toys

    with job(snakemake):
        run_toys(
            batch_of(snakemake),
            snakemake.input.reco,
            snakemake.output.toys,
            snakemake.resources.device,
        )
