#!/bin/sh
# Make .venv and install the course into it; at once when nothing changed. Called by the Makefile, from the repository:
#   setup.sh PYTHON lab|all       PYTHON may be empty: then the first Python that fits is taken
# Whatever is missing is said in one line.
wanted=$1
extras=$2
fits='import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 14))'
version='import sys; print("%d.%d" % sys.version_info[:2])'

stop() {
    echo "$1" >&2
    exit 1
}

if [ -n "$wanted" ]; then
    command -v "$wanted" >/dev/null 2>&1 || stop "There is no $wanted here. Name a Python 3.11 to 3.14: make ... PYTHON=python3.13"
    has=$("$wanted" -c "$version" 2>/dev/null) || stop "$wanted does not answer as a Python. Name a Python 3.11 to 3.14."
    "$wanted" -c "$fits" || stop "$wanted is Python $has; the course runs on 3.11 to 3.14. Name another: make ... PYTHON=python3.13"
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

if [ ! -d .venv ]; then
    python=$wanted
    if [ -z "$python" ]; then
        for name in python3 python3.14 python3.13 python3.12 python3.11 python; do
            if "$name" -c "$fits" >/dev/null 2>&1; then python=$name && break; fi
        done
        [ -n "$python" ] || stop "No Python 3.11 to 3.14 was found. Install one, or name it: make ... PYTHON=/path/to/python3"
    fi
    "$python" -c 'import venv, ensurepip' 2>/dev/null ||
        stop "$python lacks its venv module. Debian and Ubuntu: apt install $(basename "$python")-venv; elsewhere install a full Python."
    "$python" -m venv .venv >/dev/null || stop "$python could not make .venv."
    : >"$made"
fi

# One stamp per set of extras: it holds what was installed from, so that only a change installs again.
case $extras in
lab) install='.[lab]' ;;
all) install='.[lab,book,test]' ;;
*) stop "setup.sh: $extras is neither lab nor all" ;;
esac
now=$(cksum <pyproject.toml)
for stamp in .venv/installed-all ".venv/installed-$extras"; do
    [ "$(cat "$stamp" 2>/dev/null)" = "$now" ] && exit 0
done

echo "Installing the course into .venv (the first time takes some minutes)"
failed=.venv/install-failed
rm -f "$failed"
{
    "$bin/python" -m pip install --disable-pip-version-check --retries 2 --timeout 20 -e "$install" 2>.venv/install.log ||
        : >"$failed"
} | sed -n -e 's/^Collecting \([^ ]*\).*/  \1/p' -e 's/^Installing collected.*/  (unpacking)/p'
if [ ! -f "$failed" ]; then
    echo "$now" >".venv/installed-$extras"
    exit 0
fi
if grep -qiE 'connection|resolve host|name resolution|network|timed out|timeout' .venv/install.log; then
    stop "The packages could not be fetched: no network. Connect and run make again. (Details: .venv/install.log)"
fi
stop "The install failed: $(grep -m1 ERROR .venv/install.log || tail -n 1 .venv/install.log) (Details: .venv/install.log)"
