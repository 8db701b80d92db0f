"""Propagate the resolution to the angles of a batch."""

from pullback.job_server import forked

if not forked(snakemake, __file__):
    from pullback.steps.job import batch_of, job
    from pullback.steps.propagate import propagate_uncertainty

    with job(snakemake):
        propagate_uncertainty(
            batch_of(snakemake),
            snakemake.input.reco,
            snakemake.output.sigma,
            snakemake.input.get("truth"),
            snakemake.resources.device,
        )
