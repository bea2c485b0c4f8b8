#!/usr/bin/env bash
# Tests on several devices of one or more machines:
#   tools/dist_test.sh CONFIG CHECKPOINT GPUS [options of test.py]
# Several machines: the same command on each, with NNODES, NODE_RANK, MASTER_ADDR and PORT set.
set -euo pipefail
[[ $# -ge 3 && $3 =~ ^[0-9]+$ ]] || { echo "usage: $0 CONFIG CHECKPOINT GPUS [options of test.py]" >&2; exit 2; }
CONFIG=$1
CHECKPOINT=$2
GPUS=$3
exec "${PYTHON:-python}" -m torch.distributed.run \
    --nnodes="${NNODES:-1}" --node_rank="${NODE_RANK:-0}" --nproc_per_node="$GPUS" \
    --master_addr="${MASTER_ADDR:-127.0.0.1}" --master_port="${PORT:-29500}" \
    "$(dirname "${BASH_SOURCE[0]}")/test.py" "$CONFIG" "$CHECKPOINT" --launcher pytorch "${@:4}"
