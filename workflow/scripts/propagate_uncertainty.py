"""Propagate the resolution to the angles of a batch."""

from pullback.steps.job import job
from pullback.steps.propagate import propagate_uncertainty
from pullback.study.batches import Batch

if __name__ == "__main__":
    with job(snakemake):
        propagate_uncertainty(
            Batch.from_json(snakemake.params.batch),
            snakemake.input.reco,
            snakemake.output.sigma,
            snakemake.input.get("truth"),
            snakemake.resources.device,
        )
