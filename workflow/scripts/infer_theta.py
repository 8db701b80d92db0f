"""Infer the angles of a batch from its hits."""

from pullback.steps.infer import infer_theta
from pullback.steps.job import job
from pullback.study.batches import Batch

if __name__ == "__main__":
    with job(snakemake):
        infer_theta(
            Batch.from_json(snakemake.params.batch),
            snakemake.input.reco,
            snakemake.output.theta,
            snakemake.input.get("truth"),
        )
