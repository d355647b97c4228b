#!/bin/sh
# Builds the example image, changes nothing and builds it again, shows its history, runs it.
# No registry is needed: the base image is made from Debian's busybox-static.
set -eu
cd "$(dirname "$0")/.."

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT INT TERM
busybox=$(command -v busybox || true)
if [ -z "$busybox" ] || ldd "$busybox" >/dev/null 2>&1; then
  echo "Fetching Debian's busybox-static for the base image"
  # _apt may not enter a folder of mktemp's; without this line apt says so at length.
  chmod 755 "$work"
  (cd "$work" && { apt-get download busybox-static >/dev/null 2>&1 || { apt-get update -qq && apt-get download busybox-static >/dev/null; }; } && dpkg-deb -x busybox-static_*.deb unpacked)
  busybox=$(find "$work/unpacked" -name busybox -type f | head -n 1)
fi
root=$work/root
mkdir -p "$root/bin" "$root/etc" "$root/tmp" "$root/root" "$root/usr/local/bin"
chmod 1777 "$root/tmp"
cp "$busybox" "$root/bin/busybox"
for applet in $("$root/bin/busybox" --list); do [ "$applet" = busybox ] || ln -s busybox "$root/bin/$applet"; done
echo 'root:x:0:0:root:/root:/bin/sh' >"$root/etc/passwd"
echo 'root:x:0:' >"$root/etc/group"

say() { printf '\n$ %s\n' "$*"; "$@"; }
PATH=$PWD/bin:$PATH
say kiln import --change 'CMD ["sh"]' "$root" busybox
say kiln build -t hello --build-arg WHO="$(id -un)" examples/hello
say kiln build -t hello --build-arg WHO="$(id -un)" examples/hello
say kiln history hello
say kiln run hello
