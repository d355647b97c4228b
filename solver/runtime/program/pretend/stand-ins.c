/* The empty files in place of devices that cannot be made here. Data written
 * to one must not end up in it: the few devices of every container are
 * opened instead, the others are refused as in the kernel. */
#include "pretend.h"

#include "kernel.h"
#include <errno.h>

static int devices_fd = -1; /* the host's /dev: ours, never the step's, because it could change names there */

void
prepare_devices (void)
{
  devices_fd = open ("/dev", O_PATH | O_DIRECTORY | O_CLOEXEC);
}

/* A descriptor of the device, or -1 with errno. */
int
open_stand_in (const struct owner_record *record, int flags)
{
  static const struct
  {
    uint32_t major, minor;
    const char *name;
  } known[] = { { 1, 3, "null" }, { 1, 5, "zero" }, { 1, 7, "full" }, { 1, 8, "random" }, { 1, 9, "urandom" } };
  for (size_t i = 0; i < sizeof known / sizeof *known && record->node == 'c'; i++)
    if (known[i].major == record->major && known[i].minor == record->minor)
      return openat (devices_fd, known[i].name, (flags & ~(O_CREAT | O_EXCL | O_TRUNC)) | O_CLOEXEC | O_NOCTTY);
  errno = EPERM;
  return -1;
}
