"""Find the value of a number that gives the wanted mean σ."""

from pullback.steps.job import job
from pullback.steps.target import find_target
from pullback.study.plan import Study

if __name__ == "__main__":
    with job(snakemake):
        find_target(Study.from_json(snakemake.params.study), snakemake.output.target)
