"""Infer the angles of a batch from its hits."""

from pullback.batches import Batch
from pullback.jobs import job
from pullback.steps import infer_theta

if __name__ == "__main__":
    with job(snakemake):
        infer_theta(
            Batch.from_json(snakemake.params.batch),
            snakemake.input.reco,
            snakemake.output.theta,
            snakemake.input.get("truth"),
        )
