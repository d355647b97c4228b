#!/bin/sh
# Runs a command with the pinned Node first on PATH: `sh scripts/pinned.sh vitest run`. Not every npm gives the package
# an entry in node_modules/.bin, and the machine's Node may be older.
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
for arch in x64 arm64; do
  if [ -x "$root/node_modules/node-linux-$arch/bin/node" ]; then
    PATH=$root/node_modules/node-linux-$arch/bin:$root/node_modules/.bin:$PATH
    export PATH
    exec "$@"
  fi
done
echo "kiln: no pinned Node for this machine in node_modules: run npm ci without --omit=optional" >&2
exit 1
