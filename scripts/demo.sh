#!/bin/sh
# Builds the example image, builds it again unchanged, shows its history and runs it. No registry is needed: the base
# image is made from Debian's busybox-static.
set -eu
cd "$(dirname "$0")/.."

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT INT TERM

fail() { echo "demo: $*" >&2; exit 1; }
say() { printf '\n$ %s\n' "$*"; "$@"; }

# Succeeds if the busybox at $1 starts without any other file: the image will hold nothing else.
is_static_busybox() {
  [ -f "$1" ] && [ -x "$1" ] && "$1" true 2>/dev/null && ! ldd "$1" >/dev/null 2>&1
}

# Extracts the program from Debian's package, without installing it, and sets `busybox`.
fetch_busybox() {
  command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null ||
    fail "no static busybox on PATH and no apt-get to fetch one: install a statically linked busybox and try again"
  echo "Fetching Debian's busybox-static for the base image"
  # The user _apt may not enter a folder of mktemp's; without this line apt prints a long warning.
  chmod 755 "$work"
  (
    cd "$work"
    apt-get download busybox-static >download.log 2>&1 && exit 0
    apt-get update -qq >download.log 2>&1 && apt-get download busybox-static >download.log 2>&1
  ) || { cat "$work/download.log" >&2; fail "cannot fetch busybox-static: install it and try again"; }
  dpkg-deb -x "$work"/busybox-static_*.deb "$work/unpacked" || fail "cannot unpack the package busybox-static"
  # The package has other files of this name, and uses /bin or /usr/bin depending on the release.
  for busybox in "$work/unpacked/usr/bin/busybox" "$work/unpacked/bin/busybox"; do
    is_static_busybox "$busybox" && return
  done
  fail "the package busybox-static holds no busybox that starts here"
}

# Makes a root file system at $1: the program at $2 under all its names, and the files that name root.
make_root() {
  mkdir -p "$1/bin" "$1/etc" "$1/tmp" "$1/root" "$1/usr/local/bin"
  chmod 1777 "$1/tmp"
  cp "$2" "$1/bin/busybox"
  "$1/bin/busybox" --list >"$work/applets" || fail "$2 does not list its applets"
  while read -r applet; do
    [ "$applet" = busybox ] || ln -s busybox "$1/bin/$applet"
  done <"$work/applets"
  [ -e "$1/bin/sh" ] || fail "$2 has no shell"
  echo 'root:x:0:0:root:/root:/bin/sh' >"$1/etc/passwd"
  echo 'root:x:0:' >"$1/etc/group"
}

busybox=$(command -v busybox || true)
is_static_busybox "$busybox" || fetch_busybox
make_root "$work/root" "$busybox"

PATH=$PWD/bin:$PATH
say kiln import --change 'CMD ["sh"]' "$work/root" busybox
say kiln build -t hello --build-arg WHO="$(id -un)" examples/hello
say kiln build -t hello --build-arg WHO="$(id -un)" examples/hello
say kiln history hello
say kiln run hello
