#!/bin/sh
# Install what some tests need and are skipped without, where that can be done: PostgreSQL, as root on Debian.
set -eu
for program in "$(command -v pg_ctl || true)" /usr/lib/postgresql/*/bin/pg_ctl; do
    if [ -x "$program" ]; then exit 0; fi
done
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
    sh tools/apt_install.sh "tests of tasks on PostgreSQL" postgresql && exit 0
fi
echo "[setup] PostgreSQL is not installed: tests that need it are skipped"
