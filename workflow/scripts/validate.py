"""Judge the uncertainties of the study from the tallies of its batches."""

from pullback.steps.job import job
from pullback.study.plan import Study
from pullback.validation.verdict import Outputs, validate

if __name__ == "__main__":
    with job(snakemake):
        validate(
            Study.from_json(snakemake.params.study),
            snakemake.input.tally,
            Outputs(**dict(snakemake.output.items())),
        )
