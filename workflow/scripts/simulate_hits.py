"""Draw the true hits of a batch."""

from pullback.steps.job import job
from pullback.steps.simulate import simulate_hits
from pullback.study.batches import Batch

if __name__ == "__main__":
    with job(snakemake):
        simulate_hits(Batch.from_json(snakemake.params.batch), snakemake.output.truth)
