"""Draw the true hits of a batch."""

from pullback.steps.job import batch_of, job
from pullback.steps.simulate import simulate_hits

if __name__ == "__main__":
    with job(snakemake):
        simulate_hits(batch_of(snakemake), snakemake.output.truth)
