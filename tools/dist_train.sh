#!/usr/bin/env bash
# Trains on several devices of one or more machines:
#   tools/dist_train.sh CONFIG GPUS [options of train.py]
# Several machines: the same command on each, with NNODES, NODE_RANK, MASTER_ADDR and PORT set.
set -euo pipefail
[[ $# -ge 2 ]] || { echo "usage: $0 CONFIG GPUS [options of train.py]" >&2; exit 2; }
CONFIG=$1
GPUS=$2
exec "${PYTHON:-python}" -m torch.distributed.run \
    --nnodes="${NNODES:-1}" --node_rank="${NODE_RANK:-0}" --nproc_per_node="$GPUS" \
    --master_addr="${MASTER_ADDR:-127.0.0.1}" --master_port="${PORT:-29500}" \
    "$(dirname "${BASH_SOURCE[0]}")/train.py" "$CONFIG" --launcher pytorch "${@:3}"
