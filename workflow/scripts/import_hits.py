"""Read the recorded hits of a batch from the file named in the config."""

from pullback.steps.importing import import_hits
from pullback.steps.job import job
from pullback.study.batches import Batch

if __name__ == "__main__":
    with job(snakemake):
        import_hits(Batch.from_json(snakemake.params.batch), snakemake.output.reco)
