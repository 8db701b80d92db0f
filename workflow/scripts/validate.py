"""Gather the batches of the study and judge their uncertainties."""

from pullback.jobs import job
from pullback.study import Study
from pullback.verdict import Outputs, validate

if __name__ == "__main__":
    with job(snakemake):
        study = Study.from_json(snakemake.params.study)
        files = {kind: snakemake.input.get(kind) for kind in study.kinds}
        validate(study, files, Outputs(**dict(snakemake.output.items())))
