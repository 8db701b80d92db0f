"""Compare the recorded hits of a batch with the fit of the model."""

from pullback.job_server import forked

if not forked(snakemake, __file__):
    from pullback.steps.fits import fit_residuals
    from pullback.steps.job import batch_of, job

    with job(snakemake):
        fit_residuals(batch_of(snakemake), snakemake.input.reco, snakemake.output.fits)
