"""Draw the true hits of a batch."""

from pullback.batches import Batch
from pullback.jobs import job
from pullback.steps import simulate_hits

if __name__ == "__main__":
    with job(snakemake):
        simulate_hits(Batch.from_json(snakemake.params.batch), snakemake.output.truth)
