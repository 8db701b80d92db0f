"""Propagate the resolution to the angles of a batch."""

from pullback.steps.job import batch_of, job
from pullback.steps.propagate import propagate_uncertainty

if __name__ == "__main__":
    with job(snakemake):
        propagate_uncertainty(
            batch_of(snakemake),
            snakemake.input.reco,
            snakemake.output.sigma,
            snakemake.input.get("truth"),
            snakemake.resources.device,
        )
