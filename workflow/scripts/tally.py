"""Count and sum over the muons of a batch."""

from pullback.steps.job import batch_of, job
from pullback.validation.batch_sums import tally

if __name__ == "__main__":
    with job(snakemake):
        files = {kind: file for kind, file in snakemake.input.items() if kind not in ("model", "alignment")}
        tally(batch_of(snakemake), files, snakemake.output.tally)
