"""Smear the true hits of a batch by the detector's resolution."""

from pullback.steps.job import job
from pullback.steps.simulate import smear_hits
from pullback.study.batches import Batch

if __name__ == "__main__":
    with job(snakemake):
        smear_hits(Batch.from_json(snakemake.params.batch), snakemake.input.truth, snakemake.output.reco)
