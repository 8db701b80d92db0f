"""Read the recorded hits of a batch from the file named in the config."""

from pullback.job_server import forked

if not forked(snakemake, __file__, torch=bool(snakemake.input.get("model"))):  # a user's model may import it
    from pullback.steps.importing import import_hits
    from pullback.steps.job import batch_of, job

    with job(snakemake):
        import_hits(batch_of(snakemake), snakemake.output.reco)
