"""Find the value of a number that gives the wanted mean σ."""

from pullback.job_server import forked

if not forked(snakemake, __file__):
    from pullback.steps.job import job, study_of
    from pullback.steps.target import find_target

    with job(snakemake):
        find_target(study_of(snakemake), snakemake.output.target)
