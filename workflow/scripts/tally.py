"""Tally the artefacts of a batch."""

from pullback.batch_tally import tally
from pullback.batches import Batch
from pullback.jobs import job

if __name__ == "__main__":
    with job(snakemake):
        files = {kind: file for kind, file in snakemake.input.items() if kind != "model"}
        tally(Batch.from_json(snakemake.params.batch), files, snakemake.output.tally)
