"""Write the report of the study."""

from pullback.report.page import write_report
from pullback.steps.job import job
from pullback.study.plan import Study

if __name__ == "__main__":
    with job(snakemake):
        write_report(
            Study.from_json(snakemake.params.study),
            snakemake.input.validation,
            snakemake.input.figures,
            snakemake.output.report,
            snakemake.input.get("target"),
        )
