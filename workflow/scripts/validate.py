"""Judge the uncertainties of the study from the tallies of its batches."""

from pullback.job_server import forked

if not forked(snakemake, __file__):
    from pullback.steps.job import job, study_of
    from pullback.validation.verdict import Outputs, validate

    with job(snakemake):
        validate(
            study_of(snakemake),
            snakemake.input.tally,
            Outputs(**dict(snakemake.output.items())),
        )
