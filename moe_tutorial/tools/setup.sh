#!/bin/sh
# Make .venv and install the course into it, unless nothing has changed. The Makefile calls it in the repository:
#   setup.sh PYTHON lab|all       If PYTHON is empty, the first suitable Python is used.
# It uses uv if that is on the PATH, otherwise venv and pip. On Linux without an NVIDIA GPU it installs PyTorch's CPU
# build. TORCH_INDEX=pypi takes PyTorch from the same index as all packages, TORCH_INDEX=URL from another one.
# An error is one line that says what is missing.
wanted=$1
extras=$2
cpu_index=https://download.pytorch.org/whl/cpu # PyTorch's own
fits='import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 14))'
version='import sys; print("%d.%d" % sys.version_info[:2])'

stop() {
    echo "$1" >&2
    exit 1
}

if [ -n "$wanted" ]; then
    command -v "$wanted" >/dev/null 2>&1 || stop "There is no $wanted here. Name a Python 3.11 to 3.14: make ... PYTHON=python3.14"
    has=$("$wanted" -c "$version" 2>/dev/null) || stop "$wanted does not answer as a Python. Name a Python 3.11 to 3.14."
    "$wanted" -c "$fits" || stop "$wanted is Python $has; the course runs on 3.11 to 3.14. Name another: make ... PYTHON=python3.14"
fi

if [ "$OS" = Windows_NT ]; then bin=.venv/Scripts; else bin=.venv/bin; fi
made=.venv/made-by-the-course

if [ -d .venv ]; then
    "$bin/python" -c "$fits" 2>/dev/null || again="its Python is missing or does not fit"
    [ -z "$wanted" ] || [ -n "$again" ] || [ "$("$bin/python" -c "$version")" = "$has" ] || again="it belongs to another Python than $wanted ($has)"
    if [ -n "$again" ]; then
        [ -f "$made" ] || stop ".venv was not made by this Makefile, and $again. Move it away and run make again."
        echo "Making .venv again: $again."
        rm -rf .venv
    fi
fi

uv=$(command -v uv)
if [ ! -d .venv ]; then
    python=$wanted
    if [ -z "$python" ]; then
        for name in python3 python3.14 python3.13 python3.12 python3.11 python; do
            if "$name" -c "$fits" >/dev/null 2>&1; then python=$name && break; fi
        done
        [ -n "$python" ] || stop "No Python 3.11 to 3.14 was found. Install one, or name it: make ... PYTHON=/path/to/python3"
    fi
    if [ -n "$uv" ]; then
        why=$("$uv" venv --quiet --no-project --python "$(command -v "$python")" .venv 2>&1) ||
            stop "uv could not make .venv with $python: $(echo "$why" | sed -n 1p)"
    else
        "$python" -c 'import venv, ensurepip' 2>/dev/null ||
            stop "$python lacks its venv module. Debian and Ubuntu: apt install $(basename "$python")-venv; elsewhere install a full Python."
        "$python" -m venv .venv >/dev/null || stop "$python could not make .venv."
    fi
    : >"$made"
fi

# A stamp for each set of extras has the checksum of pyproject.toml, so that only a change installs again.
case $extras in
lab) course='.[lab]' ;;
all) course='.[lab,book,test]' ;;
*) stop "setup.sh: $extras is neither lab nor all" ;;
esac
now=$(cksum <pyproject.toml)
for stamp in .venv/installed-all ".venv/installed-$extras"; do
    [ "$(cat "$stamp" 2>/dev/null)" = "$now" ] && exit 0
done

log=.venv/install.log
if [ -n "$uv" ]; then from=--default-index; else from=--index-url; fi
installer() {
    if [ -n "$uv" ]; then
        "$uv" pip install --python "$bin/python" "$@" 2>&1
    else
        "$bin/python" -m pip install --no-compile --disable-pip-version-check --retries 2 --timeout 20 "$@" 2>&1
    fi
}

# install PACKAGE...: write the whole output to the log, and print the name of each package that is fetched
install() {
    rm -f .venv/install-failed
    { installer "$@" || : >.venv/install-failed; } | tee "$log" | sed -n \
        -e 's/^Collecting \([^ ]*\).*/  \1/p' -e 's/^Downloading \([^ ]*\) (.*/  \1/p' \
        -e 's/^Installing collected.*/  (unpacking)/p'
    [ ! -f .venv/install-failed ]
}

give_up() {
    why=$(grep -iE '^ *(error|warning|caused by|cause):|╰─▶' "$log")
    if echo "$why" | grep -qiE 'connection|resolve host|name resolution|dns error|network is unreachable|timed out|timeout'; then
        stop "The packages could not be fetched: no network. Connect and run make again. (Details: $log)"
    fi
    why=$(echo "$why" | grep -vi '^ *warning' | sed -n '1,2s/^ *//p' | tr '\n' ' ')
    stop "The install failed: ${why:-$(tail -n 1 "$log") }(Details: $log)"
}

# PyTorch from PyPI includes CUDA on Linux: gigabytes that are of no use without an NVIDIA GPU.
brings_idle_cuda() {
    case "$(uname -s) $(uname -m)" in "Linux x86_64" | "Linux aarch64") ;; *) return 1 ;; esac
    [ ! -e /proc/driver/nvidia ] && [ ! -e /dev/nvidia0 ] && ! nvidia-smi >/dev/null 2>&1
}

# answers URL: whether it responds within five seconds, including the lookup of the host
answers() {
    "$bin/python" -c 'import signal, sys, urllib.request
signal.alarm(5)
urllib.request.urlopen(urllib.request.Request(sys.argv[1], headers={"User-Agent": "moe-tutorial"}))' "$1"
} >/dev/null 2>&1

echo "Installing the course into .venv (the first time takes some minutes)"
torch=$("$bin/python" -c 'import tomllib
needs = tomllib.load(open("pyproject.toml", "rb"))["project"]["dependencies"]
print(next(need for need in needs if need.startswith("torch")))')

# From another index, install torch first and without dependencies, so that no other package comes from there.
if [ -n "$TORCH_INDEX" ]; then
    if [ "$TORCH_INDEX" != pypi ]; then
        echo "PyTorch comes from TORCH_INDEX, $TORCH_INDEX."
        install --no-deps $from "$TORCH_INDEX" "$torch" || give_up
    fi
elif brings_idle_cuda && ! installer --no-index --no-deps "$torch" >/dev/null; then # unless a torch that fits is there
    if ! answers "$cpu_index/torch/"; then
        echo "PyTorch's own index does not answer, so PyTorch comes with CUDA, gigabytes that are of no use here."
    else
        echo "No NVIDIA GPU is here: PyTorch's CPU build is taken. TORCH_INDEX=pypi takes the one with CUDA."
        install --no-deps $from "$cpu_index" "$torch" ||
            echo "It could not be had ($(tail -n 1 "$log")), so PyTorch comes with CUDA."
    fi
fi

# uv's environments have no pip, which %pip in a notebook needs.
install ${uv:+pip} -e "$course" || give_up
echo "Compiling its kernels" # so that no cell waits for them; if this fails, each is compiled at its first call
"$bin/python" -c 'from moe_tutorial.layers.fast import compile_kernels; compile_kernels()' >/dev/null 2>&1 || :
echo "$now" >".venv/installed-$extras"
