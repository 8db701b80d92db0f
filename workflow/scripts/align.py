"""Find where the layers are from the residuals of the tracks."""

from pullback.steps.aligning import align
from pullback.steps.job import job
from pullback.study.plan import Study

if __name__ == "__main__":
    with job(snakemake):
        align(Study.from_json(snakemake.params.study), snakemake.output.alignment)
