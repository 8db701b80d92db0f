"""Throw toys around muons of a batch."""

from pullback.steps.job import batch_of, job
from pullback.steps.toys import run_toys

if __name__ == "__main__":
    with job(snakemake):
        run_toys(
            batch_of(snakemake),
            snakemake.input.reco,
            snakemake.output.toys,
            snakemake.resources.device,
        )
