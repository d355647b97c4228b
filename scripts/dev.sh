#!/bin/sh
# Runs kiln from its sources, without bundling: `npm run dev -- build .`. Compiled parts with changed sources are
# rebuilt first.
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
make -s -C "$root/solver/runtime/program" OUT=../../../build
make -s -C "$root/lib/native" OUT=../../build
# npm runs scripts in the package's folder; users mean paths relative to the folder where they called npm.
cd "${INIT_CWD:-.}"
exec sh "$root/scripts/pinned.sh" node "$root/src/cli/dev.ts" "$@"
