"""Draw the figures of the study."""

from pullback.report.figures.plot import plot
from pullback.steps.job import job
from pullback.study.plan import Study

if __name__ == "__main__":
    with job(snakemake):
        plot(
            Study.from_json(snakemake.params.study),
            snakemake.input.study,
            snakemake.input.validation,
            snakemake.output.drawn,
            snakemake.output.printed,
            snakemake.input.get("target"),
        )
