#!/usr/bin/env bash
# Pretrain with several processes on this machine, or on NNODES of them.
#
#     bash tools/dist_train.sh CONFIG PROCESSES [options of dense-cl pretrain]
#
# One process per GPU, or on a machine without GPUs any number (gloo). With several machines, run
# it on each with NNODES, NODE_RANK, MASTER_ADDR and PORT set.
set -euo pipefail
CONFIG=${1:?usage: dist_train.sh CONFIG PROCESSES [options]}
PROCESSES=${2:?usage: dist_train.sh CONFIG PROCESSES [options]}
PYTHON=${PYTHON:-python}

exec "$PYTHON" -m torch.distributed.run \
    --nnodes="${NNODES:-1}" \
    --node_rank="${NODE_RANK:-0}" \
    --master_addr="${MASTER_ADDR:-127.0.0.1}" \
    --master_port="${PORT:-29500}" \
    --nproc_per_node="$PROCESSES" \
    "$(dirname "$0")/train.py" "$CONFIG" --launcher pytorch "${@:3}"
