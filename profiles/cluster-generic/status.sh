#!/bin/sh
# Says what Snakemake asks of a job by its id: success, failed or running.
case $(squeue --noheader --states=all --format=%T --jobs="$1" 2>&1) in
    COMPLETED) echo success ;;
    BOOT_FAIL | CANCELLED | DEADLINE | FAILED | OUT_OF_MEMORY | TIMEOUT) echo failed ;;
    *"Invalid job id"*) echo failed ;; # it ended so long ago that Slurm has forgotten how
    *) echo running ;;                 # or waits, or is about to run again, or Slurm doesn't answer for now
esac
