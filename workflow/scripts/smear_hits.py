"""Smear the true hits of a batch by the detector's resolution."""

from pullback.batches import Batch
from pullback.jobs import job
from pullback.steps import smear_hits

if __name__ == "__main__":
    with job(snakemake):
        smear_hits(Batch.from_json(snakemake.params.batch), snakemake.input.truth, snakemake.output.reco)
