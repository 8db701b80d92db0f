"""Throw toys around true hits of a batch, and count how often intervals hold the truth."""

from pullback.steps.coverage import measure_coverage
from pullback.steps.job import job
from pullback.study.batches import Batch

if __name__ == "__main__":
    with job(snakemake):
        measure_coverage(
            Batch.from_json(snakemake.params.batch),
            snakemake.input.truth,
            snakemake.input.reco,
            snakemake.input.sigma,
            snakemake.output.coverage,
        )
