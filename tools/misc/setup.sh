#!/usr/bin/env bash
# Creates .venv with the pinned packages, the compiled mmcv operators and this project (editable). It can
# be run again at any time: finished steps are skipped, and nothing is done if
# requirements, setup.py and this file are unchanged.
#
# The only argument is --help; these environment variables are read:
#
#   PYTHON             interpreter to use, 3.10 to 3.12 (default: python3.11, which is tested, then python3)
#   WHEELHOUSE         folder of prebuilt wheels, used instead of compiling (default: none)
#   MMDECOUPLE_WHEELS  folder for built mmcv wheels (default: .wheels)
#   MAX_JOBS           number of compile jobs (default: number of cores)
#   FORCE              any value: repeat every step even if nothing has changed
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
ROOT=$PWD
VENV=$ROOT/.venv
STAMP=$VENV/.mmdecouple-setup
WHEELS=${MMDECOUPLE_WHEELS:-$ROOT/.wheels}
STARTED=$SECONDS

fail() { echo "set-up: $*" >&2; exit 1; }

case ${1:-} in
    '') ;;
    --help) sed -n '2,/^set -/{/^set -/d;s/^# \{0,1\}//;p}' tools/misc/setup.sh; exit 0 ;;
    *) fail "unknown argument $1; --help lists the environment variables." ;;
esac

step() { STEP_STARTED=$SECONDS; echo "[$1/5] $2"; }
done_step() { echo "      done in $((SECONDS - STEP_STARTED)) s"; }

fingerprint() {
    { echo "$ROOT"; cat requirements/*.txt setup.py pyproject.toml tools/misc/setup.sh; } | cksum
}

# Looks for the folders of the pinned packages only: starting Python would take longer.
pins_are_installed() {
    local name version
    while IFS='=' read -r name version; do
        [[ $name == [a-z]* && $version == =* ]] || continue
        version=${version##*=}
        compgen -G "$VENV/lib/python3*/site-packages/${name//-/_}-$version.dist-info" >/dev/null ||
            return 1
    done < <(cat requirements/*.txt)
}

up_to_date() {
    [[ -z ${FORCE:-} && -f $STAMP && -x $VENV/bin/python && $(<"$STAMP") == "$(fingerprint)" ]] &&
        pins_are_installed
}

find_python() {
    local candidate
    for candidate in ${PYTHON:-python3.11 python3}; do
        if "$candidate" -c 'import sys; sys.exit(not (3, 10) <= sys.version_info < (3, 13))' \
            2>/dev/null; then
            command -v "$candidate"
            return
        fi
    done
    fail "no Python 3.10 to 3.12 found (tried: ${PYTHON:-python3.11 python3})." \
        "Install Python 3.11 or set PYTHON=/path/to/python."
}

make_venv() {
    local python
    python=$(find_python)
    if "$VENV/bin/python" -m pip --version >/dev/null 2>&1 &&
        [[ $("$VENV/bin/python" -V) == "$("$python" -V)" ]] &&
        grep -qF "$VENV/bin/python" "$VENV/bin/pip"; then
        return
    fi
    "$python" -m venv --clear "$VENV" || fail "$python cannot make a virtual environment:" \
        "install its venv package (Debian: apt install python3-venv)."
}

pip_install() {
    "$VENV/bin/python" -m pip install --disable-pip-version-check --prefer-binary --no-compile "$@"
}

works() { "$VENV/bin/python" -c "$1" >/dev/null 2>&1; }

# One folder for each Python, torch, platform and kind of ops: pip would mix up two torches.
wheel_key() {
    "$VENV/bin/python" - "$1" <<'PY'
import sys
import sysconfig
from importlib.metadata import version
python = f'cp{sys.version_info[0]}{sys.version_info[1]}'
platform = sysconfig.get_platform().replace('-', '_').replace('.', '_')
print(f'{python}-torch{version("torch")}-{platform}{sys.argv[1]}')
PY
}

# Runs a command in the background; shows the time and the compiler's count of files until it ends.
with_progress() {
    local label=$1 log=$2 pid count now last=0
    shift 2
    "$@" >"$log" 2>&1 &
    pid=$!
    trap 'kill "$pid" 2>/dev/null; exit 130' INT TERM
    while kill -0 "$pid" 2>/dev/null; do
        sleep 1
        now=$((SECONDS - STEP_STARTED))
        count=$(grep -oE '^ *\[[0-9]+/[0-9]+\]' "$log" 2>/dev/null | tail -n 1 || true)
        if [[ -t 1 ]]; then
            printf '\r      %s: %d s %s ' "$label" "$now" "$count"
        elif ((now - last >= 20)); then
            printf '      %s: %d s %s\n' "$label" "$now" "$count"
            last=$now
        fi
    done
    [[ -t 1 ]] && echo
    trap - INT TERM
    wait "$pid"
}

build_ops() {
    local requirement=$1 folder=$2 cuda_devices=$3 partial
    command -v "${CXX:-c++}" >/dev/null || command -v g++ >/dev/null ||
        fail "the compiled mmcv ops need a C++ compiler (Debian: apt install g++)," \
            "or a ready-built wheel: WHEELHOUSE=dir make setup."
    mkdir -p "$WHEELS"
    partial=$(mktemp -d "$WHEELS/.partial-XXXXXX")
    echo "      building $requirement, once (about 5 min on 2 cores); log: $folder.log"
    if ! with_progress "compiling" "$folder.log" env PATH="$VENV/bin:$PATH" \
        CFLAGS="-O2 -g0 -DNDEBUG" MAX_JOBS="${MAX_JOBS:-$(getconf _NPROCESSORS_ONLN)}" \
        CUDA_VISIBLE_DEVICES="$cuda_devices" \
        "$VENV/bin/python" -m pip wheel -v --no-deps --no-build-isolation --no-cache-dir \
        --no-binary onedl-mmcv -w "$partial" "$requirement"; then
        rm -rf "$partial"
        tail -n 5 "$folder.log" >&2
        fail "building $requirement failed, see $folder.log"
    fi
    rm -rf "$folder"
    mv "$partial" "$folder"
}

# Without nvcc the CUDA ops cannot be compiled; hiding the GPU from the build gives the CPU ops
# instead of an error.
install_ops() {
    local requirement=$1 check='import torch, mmcv._ext' kind='' devices='' folder
    if command -v nvcc >/dev/null && works 'import torch; assert torch.cuda.is_available()'; then
        kind=-cuda
        devices=${CUDA_VISIBLE_DEVICES:-0}
        check='import mmcv.ops as o; assert o.get_compiling_cuda_version() != "not available"'
    fi
    folder=$WHEELS/$(wheel_key "$kind")
    check="from importlib.metadata import version; $check; "
    check+="assert version('onedl-mmcv') == '${requirement#*==}'"
    works "$check" && return
    if [[ -z $(compgen -G "$folder/onedl_mmcv-*.whl") && -n $WHEELHOUSE ]] &&
        pip_install -q --no-deps --no-index --force-reinstall --find-links "$WHEELHOUSE" \
            "$requirement" 2>/dev/null && works "$check"; then
        echo "      taken from $WHEELHOUSE"
        return
    fi
    if [[ -z $(compgen -G "$folder/onedl_mmcv-*.whl") ]]; then
        build_ops "$requirement" "$folder" "$devices"
    fi
    pip_install -q --no-deps --no-index --force-reinstall "$folder"/onedl_mmcv-*.whl
    works "$check" ||
        fail "the wheel in $folder does not load: remove that folder and run make setup again."
}

# opencv-python needs the system's libGL, which bare servers lack; the headless build does not.
fix_opencv() {
    works 'import cv2' && return
    local version
    version=$(sed -n 's/^opencv-python==//p' requirements/runtime.txt)
    pip_install -q --no-deps --force-reinstall "opencv-python-headless==$version"
    works 'import cv2' || fail "OpenCV does not load: $VENV/bin/python -c 'import cv2' says why."
}

up_to_date && { echo "set-up: up to date"; exit 0; }
WHEELHOUSE=${WHEELHOUSE:-}
if [[ -n $WHEELHOUSE && ! -d $WHEELHOUSE ]]; then
    fail "WHEELHOUSE=$WHEELHOUSE is not a folder."
fi
mkdir -p "$WHEELS"
if command -v flock >/dev/null; then
    exec 9>"$WHEELS/.lock"
    flock -n 9 || { echo "set-up: waiting for another set-up of this folder"; flock 9; }
    up_to_date && { echo "set-up: up to date"; exit 0; }
fi
rm -rf "$WHEELS"/.partial-*

step 1 "virtual environment in .venv"
make_venv
rm -f "$STAMP"
done_step

step 2 "torch and build tools (about 3 GB to download the first time)"
pip_install -c requirements/runtime.txt -r requirements/build.txt
works 'import torch, torchvision.ops' ||
    fail "torch and torchvision do not load: run $VENV/bin/python -c 'import torchvision.ops'."
done_step

step 3 "OpenMMLab packages and small dependencies"
OTHERS=$(mktemp)
trap 'rm -f "$OTHERS"' EXIT
grep -v '^onedl-mmcv' requirements/mminstall.txt >"$OTHERS"
pip_install ${WHEELHOUSE:+--find-links "$WHEELHOUSE"} -c requirements/build.txt -r "$OTHERS" \
    -r requirements/runtime.txt -r requirements/optional.txt -r requirements/tests.txt
fix_opencv
done_step

step 4 "compiled mmcv ops"
install_ops "$(grep '^onedl-mmcv==' requirements/mminstall.txt)"
done_step

step 5 "mmdecouple itself (editable)"
pip_install -q --no-deps --no-build-isolation -e .
done_step

fingerprint >"$STAMP"
echo "set-up: finished in $((SECONDS - STARTED)) s"
echo "set-up: .venv/bin/python tools/misc/doctor.py reports what works"
