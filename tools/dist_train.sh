#!/usr/bin/env bash
# Trains on several devices of one or more machines:
#   tools/dist_train.sh CONFIG GPUS [options of train.py]
# Several machines: the same command on each, with NNODES, NODE_RANK, MASTER_ADDR (the first machine, NODE_RANK=0) and
# PORT set, and LOCAL_ADDR where other machines do not reach a machine by its host name. MAX_RESTARTS: how often a run
# continues by itself, from its newest checkpoint, after a process died (default 0).
set -euo pipefail
[[ $# -ge 2 && $2 =~ ^[0-9]+$ ]] || { echo "usage: $0 CONFIG GPUS [options of train.py]" >&2; exit 2; }
CONFIG=$1
GPUS=$2
NNODES=${NNODES:-1}
ENDPOINT=${MASTER_ADDR:-127.0.0.1}:${PORT:-29500}
MEET=(--rdzv_backend=c10d --rdzv_endpoint="$ENDPOINT" --rdzv_id="${RDZV_ID:-$ENDPOINT}"
    --rdzv_conf="is_host=$((${NODE_RANK:-0} == 0)),join_timeout=${JOIN_TIMEOUT:-600},read_timeout=20")
[[ -z ${LOCAL_ADDR:-} ]] || MEET+=(--local_addr="$LOCAL_ADDR")
# torch 2.11 would keep the addresses of an earlier life in the agent's store, at which restarted processes do not meet.
export TORCH_DISABLE_SHARE_RDZV_TCP_STORE=1
MMDECOUPLE_STARTED=$(date +%s) exec "${PYTHON:-python}" -m torch.distributed.run \
    --nnodes="$NNODES" --nproc_per_node="$GPUS" --max_restarts="${MAX_RESTARTS:-0}" "${MEET[@]}" \
    "$(dirname "${BASH_SOURCE[0]}")/train.py" "$CONFIG" --launcher pytorch "${@:3}"
