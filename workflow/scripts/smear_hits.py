"""Smear the true hits of a batch by the detector's resolution."""

from pullback.job_server import forked

if not forked(snakemake, __file__, torch=bool(snakemake.input.get("model"))):  # a user's model may import it
    from pullback.steps.job import batch_of, job
    from pullback.steps.simulate import smear_hits

    with job(snakemake):
        smear_hits(batch_of(snakemake), snakemake.input.truth, snakemake.output.reco)
