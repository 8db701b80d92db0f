"""Check the verdict; fail the run if it is fail, or inconclusive with `strict`."""

from pullback.job_server import forked

if not forked(snakemake, __file__):
    from pullback.files import write_text
    from pullback.steps.job import job
    from pullback.validation.verdict import check

    with job(snakemake):
        verdict = check(snakemake.input.validation, snakemake.params.strict)
        write_text(snakemake.output.checked, f"{verdict}\n")
