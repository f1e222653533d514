#!/bin/sh
# Install Debian packages when root, or say what to install: tools/apt_install.sh REASON PACKAGE...
set -eu
reason=$1
shift
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
    echo "[setup] $reason: apt-get install $*"
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@"
else
    echo "error: $reason. Install it as root (Debian, Ubuntu: apt-get install $*), then run this again." >&2
    exit 1
fi
