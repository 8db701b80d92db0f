"""Propagate the resolution to the angles of a batch."""

from pullback.batches import Batch
from pullback.jobs import job
from pullback.steps import propagate_uncertainty

if __name__ == "__main__":
    with job(snakemake):
        propagate_uncertainty(
            Batch.from_json(snakemake.params.batch),
            snakemake.input.reco,
            snakemake.output.sigma,
            snakemake.input.get("truth"),
            snakemake.resources.device,
        )
