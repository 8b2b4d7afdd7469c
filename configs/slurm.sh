#!/bin/bash
# The loop on a Slurm cluster: `sbatch configs/slurm.sh` in a checkout on a file system that all nodes share
# (docs/scale.md). Options of `make run` may follow; correct the resources first.
#SBATCH --job-name=alignloop
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=8
#SBATCH --cpus-per-task=8
#SBATCH --output=.cache/slurm-%j.log
#SBATCH --signal=B:TERM@120
# for a GPU a process, add: --gpus-per-node=8
set -euo pipefail
cd "${SLURM_SUBMIT_DIR:?submit this script by sbatch}"
tasks=${SLURM_NTASKS:?}

# Slurm ends the job at its time limit: 120 s before, the run is told, and the same command continues it.
.venv/bin/python -m flows.pipeline \
  --set "compute.processes=$tasks" \
  --set "compute.launch=srun --ntasks $tasks --kill-on-bad-exit=1" "$@" &
run=$!
trap 'kill -TERM "$run"' TERM
status=0
wait "$run" || status=$?
while kill -0 "$run" 2>/dev/null; do  # the trap ends one wait; the run may still be closing what it has open
  status=0
  wait "$run" || status=$?
done
exit "$status"
