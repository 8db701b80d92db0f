"""Compare the recorded hits of a batch with the fit of the model."""

from pullback.steps.fits import fit_residuals
from pullback.steps.job import job
from pullback.study.batches import Batch

if __name__ == "__main__":
    with job(snakemake):
        fit_residuals(Batch.from_json(snakemake.params.batch), snakemake.input.reco, snakemake.output.fits)
