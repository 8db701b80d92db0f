"""Infer the angles of a batch from its hits."""

from pullback.job_server import forked

if not forked(snakemake, __file__):
    from pullback.steps.infer import infer_theta
    from pullback.steps.job import batch_of, job

    with job(snakemake):
        infer_theta(
            batch_of(snakemake),
            snakemake.input.reco,
            snakemake.output.theta,
            snakemake.input.get("truth"),
        )
