/* Lists a directory by getdents64: a DIR of libc's would need a descriptor
 * of its own. */
#include "addon.h"

#include <dirent.h>

static bool
is_dot (const char *name)
{
  return name[0] == '.' && (name[1] == '\0' || (name[1] == '.' && name[2] == '\0'));
}

int
each_name (int fd, name_visit visit, void *context)
{
  enum { BUFFER = 1 << 15 };
  cleanup_free char *buffer = malloc (BUFFER);
  if (buffer == NULL)
    return -1;
  for (;;)
    {
      long got = syscall (SYS_getdents64, fd, buffer, BUFFER);
      if (got <= 0)
        return (int) got;
      for (long at = 0; at < got;)
        {
          struct dirent64 *item = (struct dirent64 *) (void *) (buffer + at);
          at += item->d_reclen;
          if (!is_dot (item->d_name) && visit (context, item->d_name, item->d_type) < 0)
            return -1;
        }
    }
}
