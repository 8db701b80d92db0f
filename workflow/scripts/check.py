"""Check the verdict; fail the run if it is fail, or inconclusive with `strict`."""

from pullback.files import write_text
from pullback.steps.job import job
from pullback.validation.verdict import check

if __name__ == "__main__":
    with job(snakemake):
        verdict = check(snakemake.input.validation, snakemake.params.strict)
        write_text(snakemake.output.checked, f"{verdict}\n")
