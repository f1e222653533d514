#!/bin/sh
# Make an environment for each engine that `ifw bench` compares with: tools/setup_peers.sh [NAME ...]
#
# benchmarks/peers/NAME.txt says what is in .venv-peers-NAME. Quick when there is nothing to do. A peer that cannot be
# installed is said and left out; pip's own settings (index, proxy, certificates) apply.
set -eu
python=${PYTHON:-python3}
cd "$(dirname "$0")/.."

say() { echo "[peers] $*"; }

install_peer() {
    venv=.venv-peers-$1 list=benchmarks/peers/$1.txt
    stamp=$venv/.ready
    if [ -f "$stamp" ] && [ "$(cksum <"$list")" = "$(cat "$stamp")" ]; then return 0; fi
    say "making $venv"
    rm -rf "$venv"
    "$python" -m venv "$venv" || return 1
    # torch first, and its version again with the rest, so that what comes after brings no other.
    grep -E '^torch==' "$list" | "$venv/bin/python" -m pip install --quiet --disable-pip-version-check -r /dev/stdin || return 1
    grep -v '^#' "$list" | grep -v '^openai-whisper==' |
        "$venv/bin/python" -m pip install --quiet --disable-pip-version-check -r /dev/stdin || return 1
    if grep -q '^openai-whisper==' "$list"; then
        "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps "$(grep '^openai-whisper==' "$list")" ||
            return 1
    fi
    cksum <"$list" >"$stamp"
}

names=${*:-$(ls benchmarks/peers/*.txt | xargs -n 1 basename | sed 's/\.txt$//')}
for name in $names; do
    install_peer "$name" || say "$name could not be installed, and is left out; the lines above say why"
done
