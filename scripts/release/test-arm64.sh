#!/bin/sh
# Starts the unpacked archive for arm64 at $1 by the emulator $2, with the store $3, in a user namespace of its own: the kernel
# takes the emulator's registration for this namespace only.
set -eu
exec unshare --user --map-root-user --mount sh -c '
  set -eu
  mount -t binfmt_misc binfmt_misc /proc/sys/fs/binfmt_misc
  magic="\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00"
  shared="\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x03\x00\xb7\x00"
  mask="\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"
  printf ":arm64:M::%s:%s:%s:F" "$magic" "$mask" "$2" >/proc/sys/fs/binfmt_misc/register
  printf ":arm64-shared:M::%s:%s:%s:F" "$shared" "$mask" "$2" >/proc/sys/fs/binfmt_misc/register
  export KILN_ROOT=$3
  "$1/bin/kiln" version | grep -q "linux/arm64"
  mkdir "$1/context"
  # Emulators before QEMU 9.2 lack openat2, by which kiln reads contexts and images: there it is an image without files.
  printf "FROM scratch\nENV made=here\n" >"$1/context/Dockerfile"
  "$1/bin/kiln" build --quiet -t small "$1/context" | grep -q ^sha256:
  printf "COPY Dockerfile /file\n" >>"$1/context/Dockerfile"
  if ! "$1/bin/kiln" build --quiet -t small "$1/context" >"$1/output" 2>&1; then
    grep -q "ENOSYS.*openat2" "$1/output" || { cat "$1/output" >&2; exit 1; }
    echo "== this emulator has no openat2: no files were copied"
  fi
  "$1/bin/kiln" inspect small | grep -q arm64' sh "$@"
