#!/bin/sh
# Make the virtual environment, or bring it up to date: tools/setup_venv.sh FOLDER
#
# Quick when there is nothing to do: a stamp in FOLDER says which pyproject.toml, constraints.txt, native kernels, project
# folder and interpreter it was made from. PYTHON names the interpreter to start from; pip's own settings (index, proxy,
# certificates) apply.
set -eu
venv=$1
stamp=$venv/.ready

say() { echo "[setup] $*"; }

fail() {
    echo "error: $*" >&2
    exit 1
}

is_recent() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 10))' >/dev/null 2>&1; }

find_python() {
    if [ -n "${PYTHON:-}" ]; then
        is_recent "$PYTHON" || fail "PYTHON=$PYTHON is no Python 3.10 or newer that runs"
        python=$PYTHON
        return
    fi
    for python in python3 python3.14 python3.13 python3.12 python3.11 python3.10; do
        if is_recent "$python"; then return; fi
    done
    fail "no Python 3.10 or newer was found; install one, or name it: make PYTHON=/path/to/python3"
}

make_venv() {
    find_python
    version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
    if ! "$python" -c 'import ensurepip, venv' >/dev/null 2>&1; then
        package=python$version-venv
        if [ "$python" = python3 ]; then package=python3-venv; fi
        sh tools/apt_install.sh "Python $version cannot make virtual environments" "$package"
    fi
    say "making $venv with Python $version"
    "$python" -m venv --clear "$venv"
}

pip_install() {
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --constraint constraints.txt "$@" ||
        fail "pip could not install what is needed; the lines above say why"
}

describe() {
    cksum pyproject.toml constraints.txt hatch_build.py src/ifw/kernels/build.py src/ifw/kernels/native/*
    pwd
    "$venv/bin/python" --version
}

if [ -f "$stamp" ] && is_recent "$venv/bin/python" && [ "$(cat "$stamp")" = "$(describe)" ]; then
    exit 0
fi
if ! is_recent "$venv/bin/python" || { [ -f "$stamp" ] && ! grep -qxF "$(pwd)" "$stamp"; }; then
    make_venv
fi
rm -f "$stamp"
say "installing pip and torch (the largest download)"
pip_install --upgrade pip
pip_install torch
say "installing ifw and its tools"
pip_install --build-constraint constraints.txt --editable '.[bench,eval,server]' --group dev
# The reference of the tests. By itself it would bring triton, 1 GB that nothing here uses.
pip_install --build-constraint constraints.txt --no-deps openai-whisper
if ! "$venv/bin/python" -c 'import torch' >/dev/null 2>&1; then
    sh tools/apt_install.sh "torch needs the C++ and OpenMP libraries of the system" libstdc++6 libgomp1
    "$venv/bin/python" -c 'import torch' || fail "torch does not load on this machine"
fi
"$venv/bin/python" - <<'CHECK'
from ifw.kernels.library import load

loaded = load()
names = ", ".join(kernels.name for kernels in loaded.kernels)
print("[setup] native kernels for CPUs:", names or f"none, torch alone computes, which is slower: {loaded.reason}")
CHECK
describe >"$stamp"
say "ready: $venv"
