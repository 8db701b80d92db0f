"""Draw the true hits of a batch."""

from pullback.job_server import forked

if not forked(snakemake, __file__, torch=bool(snakemake.input.get("model"))):  # a user's model may import it
    from pullback.steps.job import batch_of, job
    from pullback.steps.simulate import simulate_hits

    with job(snakemake):
        simulate_hits(batch_of(snakemake), snakemake.output.truth)
