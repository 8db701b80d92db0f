"""Count and sum over the muons of a batch."""

from pullback.steps.job import job
from pullback.study.batches import Batch
from pullback.validation.batch_sums import tally

if __name__ == "__main__":
    with job(snakemake):
        files = {kind: file for kind, file in snakemake.input.items() if kind != "model"}
        tally(Batch.from_json(snakemake.params.batch), files, snakemake.output.tally)
