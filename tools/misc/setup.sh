#!/usr/bin/env bash
# Creates a virtual environment with the packages of requirements/constraints.txt, the compiled mmcv operators and this
# project (editable). It can be run again at any time: finished steps are skipped, and nothing is done if requirements,
# setup.py and this file are unchanged. What pip says goes to setup.log in the environment.
#
# The only argument is --help; these environment variables are read:
#
#   STACK              onedl: the maintained OpenMMLab packages in .venv (default), Python 3.11 or 3.12;
#                      classic: the original ones with torch 2.1 in .venv-classic, Python 3.10
#   PYTHON             interpreter to use (default: python3.11, which is tested, then python3; classic: python3.10)
#   WHEELHOUSE         folder of prebuilt wheels, used instead of compiling, also in its folder classic/ (default: none)
#   MMDECOUPLE_WHEELS  folder for built mmcv wheels (default: .wheels)
#   MAX_JOBS           number of compile jobs (default: number of cores)
#   FORCE              any value: repeat every step even if nothing has changed
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
ROOT=$PWD
WHEELS=${MMDECOUPLE_WHEELS:-$ROOT/.wheels}
STARTED=$SECONDS

fail() { echo "set-up: $*" >&2; exit 1; }

case ${1:-} in
    '') ;;
    --help) sed -n '2,/^set -/{/^set -/d;s/^# \{0,1\}//;p}' tools/misc/setup.sh; exit 0 ;;
    *) fail "unknown argument $1; --help lists the environment variables." ;;
esac

case ${STACK:-onedl} in
    onedl) VENV=$ROOT/.venv LOCK=requirements/constraints.txt MMCV=onedl-mmcv VERSIONS='3.11 or 3.12' ;;
    classic) VENV=$ROOT/.venv-classic LOCK=requirements/constraints-classic.txt MMCV=mmcv VERSIONS=3.10 ;;
    *) fail "STACK=$STACK is unknown; it is onedl or classic." ;;
esac
STAMP=$VENV/.mmdecouple-setup
LOG=$VENV/setup.log
PIP=("$VENV/bin/python" -m pip install --disable-pip-version-check --no-compile --no-deps --progress-bar off)

step() { STEP_STARTED=$SECONDS; echo "[$1/4] $2"; }
done_step() { echo "      done in $((SECONDS - STEP_STARTED)) s"; }

fingerprint() {
    { echo "$ROOT"; cat requirements/*.txt setup.py pyproject.toml tools/misc/setup.sh; } | cksum
}

# Looks for the folders of the packages that matter most: starting Python would take longer.
pins_are_installed() {
    local name version
    while IFS='=' read -r name version; do
        compgen -G "$VENV/lib/python3*/site-packages/${name//-/_}-${version##*=}.dist-info" >/dev/null || return 1
    done < <(grep -E '^(torch|torchvision|(onedl-)?mm[a-z]+)==' "$LOCK")
}

up_to_date() {
    [[ -z ${FORCE:-} && -f $STAMP && -x $VENV/bin/python && $(<"$STAMP") == "$(fingerprint)" ]] &&
        pins_are_installed && links_of_mim_exist
}

# The classic stack installs in place, and `git clean -dfx` removes the files that openmim reads in the checkout.
links_of_mim_exist() { [[ $MMCV != mmcv || -d mmdecouple/.mim ]]; }

find_python() {
    local candidate candidates=(python3.11 python3)
    # pyenv's `python3.10` works only where that version is selected.
    [[ $MMCV == mmcv ]] && candidates=(python3.10 "${PYENV_ROOT:-$HOME/.pyenv}"/versions/3.10.*/bin/python3.10)
    [[ -n ${PYTHON:-} ]] && candidates=("$PYTHON")
    for candidate in "${candidates[@]}"; do
        if [[ " $VERSIONS " == *" $("$candidate" -c 'import sys; print("%d.%d" % sys.version_info[:2])' \
            2>/dev/null) "* ]]; then
            command -v "$candidate"
            return
        fi
    done
    fail "no Python $VERSIONS found (tried: ${candidates[*]}); install it or set PYTHON=/path/to/python."
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

# Shows the end of the log, and where the rest is.
fail_with_log() {
    tail -n 15 "$LOG" >&2
    fail "$1; all of pip's output: $LOG"
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

# Runs a command in the background, with its output in the log. Until it ends, shows the time and what it does: files
# that the compiler finished, or packages that pip has seen, and the file that it fetches with its size.
with_progress() {
    local label=$1 total=$2 pid now state last=0
    shift 2
    : >"$LOG.step"
    "$@" >>"$LOG.step" 2>&1 &
    pid=$!
    trap 'kill "$pid" 2>/dev/null; exit 130' INT TERM
    while kill -0 "$pid" 2>/dev/null; do
        sleep 1
        now=$((SECONDS - STEP_STARTED))
        if [[ -t 1 ]] || ((now - last >= 20)); then
            state=$(progress_of "$LOG.step" "$total")
            if [[ -t 1 ]]; then
                printf '\r\033[K      %s: %d s%s' "$label" "$now" "${state:0:$((${COLUMNS:-80} - 30))}"
            else
                printf '      %s: %d s%s\n' "$label" "$now" "$state"
            fi
            last=$now
        fi
    done
    [[ -t 1 ]] && printf '\r\033[K'
    trap - INT TERM
    local code=0
    wait "$pid" || code=$?
    cat "$LOG.step" >>"$LOG"
    rm -f "$LOG.step"
    return "$code"
}

progress_of() {
    awk -v total="$2" '
        /^ *\[[0-9]+\/[0-9]+\]/ { compiled = $1 }
        /^(Collecting|Requirement already satisfied)/ { seen++ }
        /^ *(Downloading|Using cached|Processing) / { sub(/.*\//, "", $2); fetched = $2; size = $3 ~ /^\([0-9]/ ? $3 " " $4 : "" }
        /^Installing collected packages/ { installing = 1 }
        END {
            if (compiled) print ", " compiled
            else if (installing) print ", writing the packages to the disk"
            else if (seen) print ", " seen " of " total " packages, " fetched " " size
        }' "$1"
}

build_ops() {
    local requirement=$1 folder=$2 cuda_devices=$3 partial
    command -v "${CXX:-c++}" >/dev/null || command -v g++ >/dev/null ||
        fail "the compiled mmcv ops need a C++ compiler (Debian: apt install g++)," \
            "or a ready-built wheel: WHEELHOUSE=dir make setup."
    mkdir -p "$WHEELS"
    partial=$(mktemp -d "$WHEELS/.partial-XXXXXX")
    echo "      building $requirement, once (about 5 min on 2 cores)"
    if ! with_progress "compiling" 0 env PATH="$VENV/bin:$PATH" \
        CFLAGS="-O2 -g0 -DNDEBUG" MAX_JOBS="${MAX_JOBS:-$(getconf _NPROCESSORS_ONLN)}" \
        CUDA_VISIBLE_DEVICES="$cuda_devices" MMCV_WITH_OPS=1 \
        "$VENV/bin/python" -m pip wheel -v --no-deps --no-build-isolation --no-cache-dir \
        --no-binary "$MMCV" -w "$partial" "$requirement"; then
        rm -rf "$partial"
        fail_with_log "building $requirement failed"
    fi
    rm -rf "$folder"
    mv "$partial" "$folder"
}

# Without nvcc the CUDA ops cannot be compiled; hiding the GPU from the build gives the CPU ops
# instead of an error.
install_ops() {
    local requirement=$1 check='import torch, mmcv._ext' kind='' devices='' folder wheels
    if command -v nvcc >/dev/null && works 'import torch; assert torch.cuda.is_available()'; then
        kind=-cuda
        devices=${CUDA_VISIBLE_DEVICES:-0}
        check='import mmcv.ops as o; assert o.get_compiling_cuda_version() != "not available"'
    fi
    folder=$WHEELS/$(wheel_key "$kind")
    wheels=$folder/${MMCV//-/_}-*.whl
    check="from importlib.metadata import version; $check; "
    check+="assert version('$MMCV') == '${requirement#*==}'"
    works "$check" && return
    if [[ -z $(compgen -G "$wheels") && -n $WHEELHOUSE ]] &&
        "${PIP[@]}" --no-index --force-reinstall "${FOUND[@]}" "$requirement" >>"$LOG" 2>&1 && works "$check"; then
        echo "      taken from $WHEELHOUSE"
        return
    fi
    [[ -n $(compgen -G "$wheels") ]] || build_ops "$requirement" "$folder" "$devices"
    # shellcheck disable=SC2086 # the name has a wildcard
    "${PIP[@]}" --no-index --force-reinstall $wheels >>"$LOG" 2>&1 || fail_with_log "$requirement cannot be installed"
    works "$check" ||
        fail "the wheel in $folder does not load: remove that folder and run make setup again."
}

# All distributions of the list except mmcv, which is compiled for the torch among them.
install_packages() {
    local listed total
    listed=$(mktemp "$VENV/.listed-XXXXXX")
    grep -v "^$MMCV==" "$LOCK" >"$listed"
    total=$(grep -c '^[^#]' "$listed")
    with_progress "packages" "$total" "${PIP[@]}" "${FOUND[@]}" -r "$listed" || fail_with_log "pip failed"
    rm -f "$listed"
    if works 'from importlib.metadata import version; version("opencv-python")'; then
        # Left by an earlier set-up. Removing one of the two takes files of the other.
        "$VENV/bin/python" -m pip uninstall -q -y opencv-python >>"$LOG" 2>&1
        "${PIP[@]}" --force-reinstall "$(grep '^opencv-python-headless==' "$LOCK")" >>"$LOG" 2>&1
    fi
    works 'import cv2' || fail "OpenCV does not load: $VENV/bin/python -c 'import cv2' says why."
    works 'import torch, torchvision.ops' ||
        fail "torch and torchvision do not load: run $VENV/bin/python -c 'import torchvision.ops'."
}

up_to_date && { echo "set-up: up to date"; exit 0; }
WHEELHOUSE=${WHEELHOUSE:-}
if [[ -n $WHEELHOUSE && ! -d $WHEELHOUSE ]]; then
    fail "WHEELHOUSE=$WHEELHOUSE is not a folder."
fi
FOUND=()
for folder in "$WHEELHOUSE" "$WHEELHOUSE/classic"; do
    [[ -n $WHEELHOUSE && -d $folder ]] && FOUND+=(--find-links "$folder")
done
mkdir -p "$WHEELS"
if command -v flock >/dev/null; then
    exec 9>"$WHEELS/.lock"
    flock -n 9 || { echo "set-up: waiting for another set-up of this folder"; flock 9; }
    up_to_date && { echo "set-up: up to date"; exit 0; }
fi
rm -rf "$WHEELS"/.partial-*

step 1 "virtual environment in ${VENV##*/}"
make_venv
rm -f "$STAMP" "$LOG"
done_step

step 2 "packages of $LOCK (about 3 GB to download the first time)"
install_packages
done_step

step 3 "compiled mmcv ops"
install_ops "$(grep "^$MMCV==" "$LOCK")"
done_step

step 4 "mmdecouple itself (editable)"
"${PIP[@]}" --no-build-isolation -e . >>"$LOG" 2>&1 || fail_with_log "mmdecouple cannot be installed"
done_step

fingerprint >"$STAMP"
echo "set-up: finished in $((SECONDS - STARTED)) s"
echo "set-up: ${VENV##*/}/bin/mmdecouple doctor reports what works"
