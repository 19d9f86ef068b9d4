#!/bin/sh
# Make or update the environment of this checkout in .venv. `make env` calls this.
#
# PYTHON       the interpreter to use (else the first of python3, python3.13, .12, .11 that fits)
# TORCH_INDEX  a further package index for torch, to choose its CPU or CUDA build
set -eu
cd "$(dirname "$0")/.."

fits() { "$1" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))' 2>/dev/null; }

find_python() {
    found=
    for candidate in ${PYTHON:-python3 python3.13 python3.12 python3.11}; do
        fits "$candidate" || continue
        found=${found:-$candidate}
        # One that can make environments comes before one that needs a system package first.
        if "$candidate" -c 'import ensurepip, venv' 2>/dev/null; then
            found=$candidate
            break
        fi
    done
    if [ -z "$found" ]; then
        echo "Python 3.11, 3.12 or 3.13 is needed and none was found (tried: ${PYTHON:-python3 and python3.11 to .13})." >&2
        echo "Install one, or name it: make env PYTHON=/path/to/python" >&2
        exit 1
    fi
}

if ! fits .venv/bin/python; then
    find_python
    scripts/system_libs.sh "$found"
    echo "Making .venv with $("$found" --version)"
    "$found" -m venv --clear .venv
else
    scripts/system_libs.sh
fi

rm -f .venv/.complete
export PIP_DISABLE_PIP_VERSION_CHECK=1
.venv/bin/python -m pip install -q -c constraints.txt --upgrade pip
torch=$(grep '^torch==' constraints.txt)
# torch comes first and by itself, so that the build chosen here stays.
.venv/bin/python -m pip install -c constraints.txt ${TORCH_INDEX:+--extra-index-url "$TORCH_INDEX"} "$torch"
.venv/bin/python -m pip install -c constraints.txt -e '.[all,dev,docs,slides]'
touch .venv/.complete
