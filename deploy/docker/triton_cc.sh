#!/bin/sh
# Stands for a C compiler where there is none: it knows one source, that of Triton's module for NVIDIA's driver, and has
# compiled it already (compile_triton.py). Triton calls: $CC SOURCE -O3 ... -o TARGET ...
set -eu
here=$(dirname "$0")
source=$1
target=
while [ $# -gt 1 ]; do
    if [ "$1" = -o ]; then target=$2; fi
    shift
done
if [ -z "$target" ] || [ "$(sha256sum <"$source" | cut -d " " -f 1)" != "$(cat "$here/source.sha256")" ]; then
    echo "this image has no C compiler, and $source is not what was compiled for it" >&2
    exit 1
fi
exec cp "$here/cuda_utils.so" "$target"
