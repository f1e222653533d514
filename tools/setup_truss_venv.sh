#!/bin/sh
# Make the environment in which tests run truss: tools/setup_truss_venv.sh FOLDER VENV
#
# A small one on top of the project's own VENV, whose packages it sees. Where it cannot be made, those tests are skipped.
set -eu
venv=$1
project=$(cd "$2" && pwd)
stamp=$venv/.ready

describe() {
    cksum tools/truss_venv.txt tools/setup_truss_venv.sh constraints.txt
    echo "$project"
    "$project/bin/python" --version
}

if [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$(describe)" ]; then exit 0; fi
echo "[setup] making $venv for the tests of truss"
rm -rf "$venv"
if "$project/bin/python" -m venv --without-pip "$venv" &&
    "$project/bin/python" - "$venv" <<'PYTHON' &&
import site, subprocess, sys
from pathlib import Path

python = [f"{sys.argv[1]}/bin/python", "-c", "import site; print(site.getsitepackages()[0])"]
inner = Path(subprocess.run(python, capture_output=True, text=True, check=True).stdout.strip())
(inner / "project.pth").write_text(f"{site.getsitepackages()[0]}\n")
PYTHON
    "$project/bin/python" -m pip --python "$venv/bin/python" install --quiet --disable-pip-version-check \
        --no-warn-conflicts --requirement tools/truss_venv.txt; then
    # The proxy in front of a docker_server: unpacked, not installed, as a package of it would start a web server.
    if ! command -v nginx >/dev/null 2>&1 && command -v apt-get >/dev/null 2>&1; then
        mkdir "$venv/nginx"
        (cd "$venv/nginx" && apt-get download -qq nginx nginx-common >/dev/null 2>&1 &&
            for package in *.deb; do dpkg -x "$package" .; done) ||
            echo "[setup] nginx could not be downloaded: tests behind it are skipped"
    fi
    describe >"$stamp"
else
    echo "[setup] truss could not be installed: tests that need it are skipped"
fi
