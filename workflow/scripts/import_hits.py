"""Read the recorded hits of a batch from the file of the config."""

from pullback.batches import Batch
from pullback.jobs import job
from pullback.steps import import_hits

if __name__ == "__main__":
    with job(snakemake):
        import_hits(Batch.from_json(snakemake.params.batch), snakemake.output.reco)
