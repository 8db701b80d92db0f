"""Count and sum over the muons of a batch."""

from pullback.job_server import forked

if not forked(snakemake, __file__):
    from pullback.steps.job import batch_of, job
    from pullback.validation.batch_sums import tally

    with job(snakemake):
        files = {kind: file for kind, file in snakemake.input.items() if kind not in ("model", "alignment")}
        tally(batch_of(snakemake), files, snakemake.output.tally)
