"""Throw toys around muons of a batch."""

from pullback.steps.job import job
from pullback.steps.toys import run_toys
from pullback.study.batches import Batch

if __name__ == "__main__":
    with job(snakemake):
        run_toys(
            Batch.from_json(snakemake.params.batch),
            snakemake.input.reco,
            snakemake.output.toys,
            snakemake.resources.device,
        )
