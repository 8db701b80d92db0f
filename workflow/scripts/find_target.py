"""Find the value of a number that has the wanted mean σ."""

from pullback.jobs import job
from pullback.study import Study
from pullback.targets import find_target

if __name__ == "__main__":
    with job(snakemake):
        find_target(Study.from_json(snakemake.params.study), snakemake.output.target)
