#!/bin/sh
# Check the system libraries that Qt, OpenGL and Xvfb need, and Python's venv module.
#
# usage: scripts/system_libs.sh [PYTHON]
#
# Silent where nothing is missing. What is missing is installed where this runs as root with apt;
# elsewhere the one command to type is printed, and the script fails.
# NUCLEIGAN_SKIP_LIBS=1 skips the check.
set -eu

[ "${NUCLEIGAN_SKIP_LIBS:-}" = 1 ] && exit 0
[ "$(uname -s)" = Linux ] || exit 0

python=${1:-}
PATH=$PATH:/usr/sbin:/sbin
libraries=$(ldconfig -p 2>/dev/null || true)

has_library() { case $libraries in *"$1 "*) ;; *) return 1 ;; esac; }
has_command() { command -v "$1" >/dev/null 2>&1; }
has_venv() { [ -z "$python" ] || "$python" -c 'import ensurepip, venv' 2>/dev/null; }
has_font() { [ -n "$(find /usr/share/fonts /usr/local/share/fonts -name '*.[ot]tf' 2>/dev/null | head -n 1)" ]; }
has_software_gl() {
    for file in /usr/lib/*/dri/swrast_dri.so /usr/lib/*/libgallium-*.so \
        /usr/lib64/dri/swrast_dri.so /usr/lib64/libgallium-*.so; do
        [ -e "$file" ] && return 0
    done
    return 1
}

find_missing() {
    missing=
    while read -r library package; do
        has_library "$library" || missing="$missing $package"
    done <<LIST
libGL.so.1 libgl1
libEGL.so.1 libegl1
libOpenGL.so.0 libopengl0
libX11-xcb.so.1 libx11-xcb1
libxkbcommon.so.0 libxkbcommon0
libxkbcommon-x11.so.0 libxkbcommon-x11-0
libxcb-cursor.so.0 libxcb-cursor0
libxcb-icccm.so.4 libxcb-icccm4
libxcb-image.so.0 libxcb-image0
libxcb-keysyms.so.1 libxcb-keysyms1
libxcb-randr.so.0 libxcb-randr0
libxcb-render-util.so.0 libxcb-render-util0
libxcb-shape.so.0 libxcb-shape0
libxcb-sync.so.1 libxcb-sync1
libxcb-util.so.1 libxcb-util1
libxcb-xfixes.so.0 libxcb-xfixes0
libxcb-xkb.so.1 libxcb-xkb1
libdbus-1.so.3 libdbus-1-3
libfontconfig.so.1 libfontconfig1
libglib-2.0.so.0 libglib2.0-0
libgssapi_krb5.so.2 libgssapi-krb5-2
LIST
    has_software_gl || missing="$missing libgl1-mesa-dri"
    has_font || missing="$missing fonts-dejavu-core"
    has_command Xvfb && has_command xvfb-run || missing="$missing xvfb"
    has_command xauth || missing="$missing xauth"
    if ! has_venv; then
        version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
        missing="$missing python$version-venv"
    fi
    missing=${missing# }
}

find_missing
[ -n "$missing" ] || exit 0

if ! has_command apt-get; then
    echo "Missing on this system (names of the Debian packages): $missing" >&2
    echo "Install their like with your package manager, then try again." >&2
    echo "If the check is wrong here, set NUCLEIGAN_SKIP_LIBS=1." >&2
    exit 1
fi

if [ "$(id -u)" != 0 ]; then
    echo "Some system packages are missing. Type this command, then try again:" >&2
    echo >&2
    echo "  sudo sh -c 'apt-get update && apt-get install -y --no-install-recommends $missing'" >&2
    echo >&2
    exit 1
fi

echo "Installing system packages: $missing"
export DEBIAN_FRONTEND=noninteractive
# An index that cannot be refreshed may still serve; if not, the install fails and says so.
apt-get update -qq || true
# shellcheck disable=SC2086  # one word for each package
apt-get install -y -qq --no-install-recommends $missing

libraries=$(ldconfig -p)
find_missing
if [ -n "$missing" ]; then
    echo "Still missing after the install: $missing. Please install them by hand." >&2
    exit 1
fi
