#!/usr/bin/env bash
# Pretrain with one Slurm task per GPU.
#
#     [GPUS=8] [GPUS_PER_NODE=8] [CPUS_PER_TASK=5] [SRUN_ARGS=...] \
#         bash tools/slurm_train.sh PARTITION JOB_NAME CONFIG WORK_DIR [options of dense-cl pretrain]
#
# Add --resume: a requeued job then goes on where it was stopped. Slurm sends SIGTERM before it
# takes the machine away, and the run saves its state (srun's --signal sets how early).
set -euo pipefail
usage="usage: slurm_train.sh PARTITION JOB_NAME CONFIG WORK_DIR [options]"
PARTITION=${1:?$usage}
JOB_NAME=${2:?$usage}
CONFIG=${3:?$usage}
WORK_DIR=${4:?$usage}
GPUS=${GPUS:-8}
GPUS_PER_NODE=${GPUS_PER_NODE:-8}

# shellcheck disable=SC2086 # SRUN_ARGS is a list of words
exec srun -p "$PARTITION" \
    --job-name="$JOB_NAME" \
    --gres=gpu:"$GPUS_PER_NODE" \
    --ntasks="$GPUS" \
    --ntasks-per-node="$GPUS_PER_NODE" \
    --cpus-per-task="${CPUS_PER_TASK:-5}" \
    --kill-on-bad-exit=1 \
    ${SRUN_ARGS:-} \
    "${PYTHON:-python}" -u "$(dirname "$0")/train.py" "$CONFIG" --work-dir "$WORK_DIR" \
    --launcher slurm "${@:5}"
