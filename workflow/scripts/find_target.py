"""Find the value of a number that gives the wanted mean σ."""

from pullback.steps.job import job, study_of
from pullback.steps.target import find_target

if __name__ == "__main__":
    with job(snakemake):
        find_target(study_of(snakemake), snakemake.output.target)
