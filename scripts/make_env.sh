#!/bin/sh
# Make or update the environment of this checkout in .venv. `make env` calls this.
#
# PYTHON       the interpreter to use (else the first of python3, python3.14, .13, .12, .11, python that fits)
# TORCH_INDEX  a further package index for torch, to choose its CPU or CUDA build
# ENV          the folder to make instead of .venv
# PINS         requirements, one a line, to install with what tests need instead of what constraints.txt pins
# WHEEL        a wheel to install, with napari's choice of Qt, instead of the checkout
set -eu
cd "$(dirname "$0")/.."

fits() { "$1" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2])' 2>/dev/null; }

find_python() {
    found=
    for candidate in ${PYTHON:-python3 python3.14 python3.13 python3.12 python3.11 python}; do
        fits "$candidate" || continue
        found=${found:-$candidate}
        # One that can make environments comes before one that needs a system package first.
        if "$candidate" -c 'import ensurepip, venv' 2>/dev/null; then
            found=$candidate
            break
        fi
    done
    if [ -z "$found" ]; then
        echo "Python 3.11 or later is needed and none was found (tried: ${PYTHON:-python3 and python3.11 to .14})." >&2
        echo "Install one, or name it: make env PYTHON=/path/to/python" >&2
        exit 1
    fi
}

env=${ENV:-.venv}
case ${OS:-} in Windows_NT) bin=$env/Scripts ;; *) bin=$env/bin ;; esac

if ! fits "$bin/python"; then
    find_python
    scripts/system_libs.sh "$found"
    echo "Making $env with $("$found" --version)"
    "$found" -m venv --clear "$env"
else
    scripts/system_libs.sh
fi

rm -f "$env/.complete"
export PIP_DISABLE_PIP_VERSION_CHECK=1
if [ -n "${PINS:-}" ]; then
    # The same hypothesis as elsewhere draws the same examples.
    { echo "$PINS"; grep '^hypothesis==' constraints.txt; } >"$env/pins.txt"
    "$bin/python" -m pip install ${TORCH_INDEX:+--extra-index-url "$TORCH_INDEX"} -r "$env/pins.txt" -e '.[all,test]'
else
    "$bin/python" -m pip install -q -c constraints.txt --upgrade pip
    torch=$(grep '^torch==' constraints.txt)
    # torch comes first and by itself, so that the build chosen here stays.
    "$bin/python" -m pip install -c constraints.txt ${TORCH_INDEX:+--extra-index-url "$TORCH_INDEX"} "$torch"
    if [ -n "${WHEEL:-}" ]; then
        "$bin/python" -m pip install -c constraints.txt "$WHEEL[all]"
    else
        "$bin/python" -m pip install -c constraints.txt -e '.[all,dev,docs,slides]'
    fi
fi
touch "$env/.complete"
