"""Smear the true hits of a batch by the detector's resolution."""

from pullback.steps.job import batch_of, job
from pullback.steps.simulate import smear_hits

if __name__ == "__main__":
    with job(snakemake):
        smear_hits(batch_of(snakemake), snakemake.input.truth, snakemake.output.reco)
