#!/bin/bash
# Installs each published file in a clean root file system and builds the example there, as root and as a plain user: `npm run
# test:release [DIST]`, as root. Needs busybox-static and mmdebstrap; for arm64 qemu-user-static and a kernel with a binfmt_misc for each
# user namespace (Linux 6.7). Nothing of this machine is changed: mounts and the emulator's registration are in namespaces.
set -euo pipefail
cd "$(dirname "$0")/../.."
dist=$(realpath "${1:-dist}")
version=$(sed -n 's/.*VERSION = "\(.*\)".*/\1/p' lib/core/version.ts)
cache=build/test-cache
work=$(mktemp -d)
trap 'rm -rf --one-file-system "$work"' EXIT
[ "$(id -u)" = 0 ] || { echo "test:release: needs root" >&2; exit 1; }
busybox=$(command -v busybox) || { echo "test:release: needs busybox-static" >&2; exit 1; }

say() { printf '== %s\n' "$*"; }

# A root of one static program under all its names: no libc, no Node, no package manager.
make_busybox_root() {
  mkdir -p "$1"/{bin,dev,etc,mnt,proc,root,sys,tmp,var,home/user,usr/local/bin}
  chmod 1777 "$1/tmp"
  cp "$busybox" "$1/bin/busybox"
  "$busybox" --list | while read -r applet; do [ "$applet" = busybox ] || ln -s busybox "$1/bin/$applet"; done
  make_user "$1"
}

# The smallest Debian that apt runs in, made once.
make_debian_root() {
  if [ ! -e "$cache/minbase.tar" ]; then
    mkdir -p "$cache"
    mmdebstrap --quiet --variant=minbase "${KILN_TEST_SUITE:-bookworm}" "$cache/minbase.tar.new" --format=tar http://deb.debian.org/debian
    mv "$cache/minbase.tar.new" "$cache/minbase.tar"
  fi
  mkdir -p "$1"
  tar -xf "$cache/minbase.tar" -C "$1" --exclude='./dev/*'
  make_user "$1"
}

make_user() {
  [ -e "$1/etc/passwd" ] || echo 'root:x:0:0:root:/root:/bin/sh' >"$1/etc/passwd"
  [ -e "$1/etc/group" ] || echo 'root:x:0:' >"$1/etc/group"
  echo 'user:x:1000:1000::/home/user:/bin/sh' >>"$1/etc/passwd"
  echo 'user:x:1000:' >>"$1/etc/group"
  mkdir -p "$1/home/user"
  chown 1000:1000 "$1/home/user"
}

# The example, its base image, and what to do with them.
add_example() {
  mkdir -p "$1/test"
  make_busybox_root "$1/test/base"
  cp -r examples/hello "$1/test/hello"
  cp "$busybox" "$1/test/busybox"
  cat >"$1/test/build.sh" <<'EOF'
set -eu
cd
kiln --version
kiln import --change 'CMD ["sh"]' /test/base busybox >/dev/null
kiln build --quiet -t hello --build-arg WHO=nobody /test/hello >/dev/null
kiln build --quiet --expect-cached -t hello --build-arg WHO=nobody /test/hello >/dev/null
kiln run hello
EOF
}

# Runs a command line in the root at $1 as the user $2. Its root is the namespace's own: in a chroot no user namespace may be made.
inside() {
  unshare --mount --pid --fork --uts sh -c '
    set -e
    mount --make-rprivate / && mount --bind "$1" "$1" && cd "$1"
    mount --rbind /dev dev && mount -t proc proc proc
    mkdir -p mnt && pivot_root . mnt && cd / && /test/busybox umount -l /mnt
    exec /test/busybox env -i PATH=/usr/local/bin:/usr/bin:/bin:/sbin TERM=dumb /test/busybox su -s /bin/sh "$2" -c "$3"' sh "$@"
}

try_root() {
  add_example "$1"
  for user in root user; do
    inside "$1" "$user" "HOME=~$user sh /test/build.sh" >"$work/output" 2>&1 || { cat "$work/output"; say "$2 as $user FAILED"; exit 1; }
    grep -q 'of its own namespace' "$work/output" || { cat "$work/output"; exit 1; }
    say "$2 as $user: $(head -1 "$work/output"), the example builds, is cached and runs"
  done
}

package=$dist/kiln-$version.tgz
if [ -e "$package" ]; then
  # The machine's npm installs it; the root itself has no Node.
  make_debian_root "$work/npm"
  (cd /tmp && npm install --global --silent --no-audit --no-fund --ignore-scripts --prefix "$work/npm/usr/local" "$package" >/dev/null)
  try_root "$work/npm" "npm package in Debian"
  rm -rf "$work/npm"
fi

archive=$dist/kiln-$version-linux-x64.tar.xz
if [ -e "$archive" ]; then
  make_busybox_root "$work/archive"
  mkdir "$work/archive/opt"
  tar -xf "$archive" -C "$work/archive/opt"
  ln -s "../../../opt/kiln-$version-linux-x64/bin/kiln" "$work/archive/usr/local/bin/kiln"
  try_root "$work/archive" "archive without any libc"
  rm -rf "$work/archive"
fi

archive=$dist/kiln-$version-linux-arm64.tar.xz
if [ -e "$archive" ] && emulator=$(command -v qemu-aarch64-static); then
  mkdir "$work/arm64"
  tar -xf "$archive" -C "$work/arm64" --strip-components=1
  sh scripts/release/test-arm64.sh "$work/arm64" "$emulator" "$work/store" || { say "archive for arm64 under qemu FAILED"; exit 1; }
  say "archive for arm64 under qemu: starts, and builds an image"
fi

image=$dist/kiln-$version-image.tar
if [ -e "$image" ]; then
  mkdir -p "$work/context"
  make_busybox_root "$work/context/base"
  printf 'FROM scratch\nCOPY base /\nRUN echo built inside >/file\n' >"$work/context/Dockerfile"
  export KILN_ROOT=$work/store-image
  bin/kiln load -q -i "$image" >/dev/null
  # As root with the usual capabilities, as a plain user, and as the user of a cluster that gives any id and the group of root.
  try_image() { # user, words...
    local user=$1; shift
    bin/kiln run --user "$user" -v "$work/context:/workspace:ro" -v "$work/out:/out" --tmpfs /tmp:mode=1777 --env HOME=/tmp --entrypoint "$1" "kiln:$version" "${@:2}" \
      >"$work/output" 2>&1 || { cat "$work/output"; say "image as $user FAILED: $*"; exit 1; }
  }
  mkdir -p "$work/out"
  chmod 777 "$work/out"
  for user in 0:0 1000:1000 1000700000:0; do
    # Commands of other users than root need one of the switches of docs/rootless.md.
    [ "$user" = 0:0 ] || sed -i '/^RUN/d' "$work/context/Dockerfile"
    try_image "$user" /kaniko/executor --version
    grep -q "$version" "$work/output"
    try_image "$user" /kaniko/executor --context /workspace --no-push --tar-path /out/kaniko.tar --snapshot-mode redo
    try_image "$user" /kaniko/executor build --quiet -o type=docker,dest=/out/kiln.tar /workspace
    tar -tf "$work/out/kaniko.tar" manifest.json >/dev/null
    tar -tf "$work/out/kiln.tar" manifest.json >/dev/null
    rm -f "$work/out"/*
  done
  # What pipelines for kaniko do before.
  for user in 0:0 1000700000:0; do
    # shellcheck disable=SC2016 # for the shell inside
    try_image "$user" sh -ec 'echo "{}" >/kaniko/.docker/config.json; echo >>/kaniko/ssl/certs/additional.crt; /busybox/sh -c "git --version; /kaniko/executor --version"'
  done
  say "image in a sandbox without privileges, as root, a plain and any user: builds by kaniko's flags and by kiln's"
fi
