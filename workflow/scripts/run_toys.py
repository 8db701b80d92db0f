"""Throw toys around muons of a batch."""

from pullback.batches import Batch
from pullback.jobs import job
from pullback.steps import run_toys

if __name__ == "__main__":
    with job(snakemake):
        run_toys(
            Batch.from_json(snakemake.params.batch),
            snakemake.input.reco,
            snakemake.output.toys,
            snakemake.resources.device,
        )
