#!/bin/sh
# Run a command in a virtual display of its own with software OpenGL, whatever display there is.
set -eu
if [ "$(uname -s)" != Linux ]; then
    exec "$@"
fi
unset WAYLAND_DISPLAY
export LIBGL_ALWAYS_SOFTWARE=1 QT_QPA_PLATFORM=xcb
exec xvfb-run -a -s "-screen 0 1400x900x24 +extension GLX" "$@"
