#!/bin/sh
# Builds all parts of kiln into build/: the runtime, the native addon, the bundle and the startup snapshot. Needs cc,
# make and the packages that `npm ci` installs. Parts with unchanged sources are left alone.
set -eu
cd "$(dirname "$0")/.."
mkdir -p build

for tool in cc make; do
  command -v "$tool" >/dev/null || { echo "kiln: building needs $tool: install it (Debian: apt-get install gcc make libc6-dev)" >&2; exit 1; }
done

make -s -C solver/runtime/program OUT=../../../build
make -s -C lib/native OUT=../../build

newest=$(find src frontend solver lib scripts docs/errors package-lock.json -newer build/kiln.blob \( -name '*.ts' -o -name '*.css' -o -name '*.html' -o -name '*.md' -o -name '*.[cm]js' -o -name package-lock.json \) ! -name '*.test.ts' -print -quit 2>/dev/null || echo all)
if [ ! -e build/kiln.blob ] || [ -n "$newest" ]; then
  sh scripts/pinned.sh node scripts/bundle.mjs
  sh scripts/pinned.sh node scripts/report-page.mjs
  # What completion and man pages are made of.
  sh scripts/pinned.sh node build/kiln.cjs completion table >build/commands.json.new
  mv build/commands.json.new build/commands.json
  # What the launcher prints by itself.
  sh scripts/pinned.sh node build/kiln.cjs --version >build/version.new
  mv build/version.new build/version
  # Node warns that some built-in modules are "not fully verified" in snapshots; the tests run on the snapshot, which
  # verifies them.
  # The seed and the script's path make the file the same in every clone.
  sh scripts/pinned.sh node --no-warnings --random-seed=1 --snapshot-blob build/kiln.blob.new --build-snapshot /proc/self/cwd/scripts/snapshot.cjs
  sh scripts/pinned.sh node scripts/slim-snapshot.mjs build/kiln.blob.new
  sh scripts/pinned.sh node scripts/library.mjs
  mv build/kiln.blob.new build/kiln.blob
fi
