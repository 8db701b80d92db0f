"""Judge the uncertainties of the study from the tallies of its batches."""

from pullback.steps.job import job, study_of
from pullback.validation.verdict import Outputs, validate

if __name__ == "__main__":
    with job(snakemake):
        validate(
            study_of(snakemake),
            snakemake.input.tally,
            Outputs(**dict(snakemake.output.items())),
        )
