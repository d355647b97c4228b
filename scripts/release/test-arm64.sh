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
  printf "FROM scratch\nCOPY Dockerfile /file\n" >"$1/context/Dockerfile"
  "$1/bin/kiln" build --quiet -t small "$1/context" | grep -q ^sha256:
  "$1/bin/kiln" inspect small | grep -q arm64' sh "$@"
