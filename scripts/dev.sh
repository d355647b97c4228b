#!/bin/sh
# Runs kiln from its sources, without bundling: `npm run dev -- build .`. The compiled parts are made first where their sources changed.
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
make -s -C "$root/solver/runtime/program" OUT=../../../build
make -s -C "$root/lib/native" OUT=../../build
# npm runs scripts in the package's folder: paths are those of the folder that npm was called in.
cd "${INIT_CWD:-.}"
exec sh "$root/scripts/pinned.sh" node "$root/src/cli/dev.ts" "$@"
