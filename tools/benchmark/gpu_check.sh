#!/usr/bin/env bash
# Acceptance test on one GPU, in at most SECONDS_LIMIT seconds (default 480); the options are those of gpu_acceptance.py:
#   tools/benchmark/gpu_check.sh --out work_dirs/gpu
#   tools/benchmark/gpu_check.sh --device cpu --tiny      # the same parts at small sizes, without a GPU
set -euo pipefail
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
export PYTHONPATH="${HERE%/tools/benchmark}${PYTHONPATH:+:$PYTHONPATH}" PYTHONUNBUFFERED=1
# Compiled kernels of an earlier run would hide the time of the compiler.
TORCHINDUCTOR_CACHE_DIR=$(mktemp -d)
export TORCHINDUCTOR_CACHE_DIR
trap 'rm -rf "$TORCHINDUCTOR_CACHE_DIR"' EXIT
"${PYTHON:-python}" "$HERE/gpu_acceptance.py" --seconds "${SECONDS_LIMIT:-480}" "$@"
