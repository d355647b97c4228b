/* The process that made a call: its memory, and its names of files. A name is resolved as the process itself would have
 * it resolved: from its root, its working directory or its descriptor. For that this process goes there, with chroot; it
 * was made for nothing else. The tree it then stands in is the container's, detached from the host's. */
#include "pretend.h"

#include "kernel.h"
#include <errno.h>
#include <stdlib.h>
#include <sys/uio.h>

static int proc_fd = -1; /* the /proc that has this process in it */
static bool one_root = true, stands_in_root;
static int self_fd = -1; /* its own /proc/self/fd: with it as the working directory, "7" is descriptor 7 */

void
prepare_callers (void)
{
  proc_fd = open ("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC);
  self_fd = open ("/proc/self/fd", O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (proc_fd < 0 || self_fd < 0)
    die_errno ("cannot open /proc to look at the command's processes");
}

/* After this, "7" is what descriptor 7 leads to, for calls that know no descriptors. */
int
use_own_descriptors (void)
{
  return fchdir (self_fd);
}

/* Some process called chroot. Until then there is one root for all of them, and we stand in it. */
void
roots_may_differ (void)
{
  one_root = false;
}

/* At most two pages, so that a string near the end of its mapping can be read although more was asked for. */
bool
read_memory (pid_t pid, uint64_t address, void *into, size_t size)
{
  struct iovec local = { into, size }, remote = { (void *) (uintptr_t) address, size };
  return process_vm_readv (pid, &local, 1, &remote, 1, 0) == (ssize_t) size;
}

bool
write_memory (pid_t pid, uint64_t address, const void *from, size_t size)
{
  struct iovec local = { (void *) (uintptr_t) from, size }, remote = { (void *) (uintptr_t) address, size };
  return process_vm_writev (pid, &local, 1, &remote, 1, 0) == (ssize_t) size;
}

bool
read_path (pid_t pid, uint64_t address, char path[4096])
{
  size_t first = 4096 - (address & 4095);
  struct iovec local = { path, 4096 };
  struct iovec remote[2] = { { (void *) (uintptr_t) address, first }, { (void *) (uintptr_t) (address + first), 4096 - first } };
  ssize_t n = process_vm_readv (pid, &local, 1, remote, first < 4096 ? 2 : 1, 0);
  return n > 0 && memchr (path, '\0', (size_t) n) != NULL;
}

static int
open_of (pid_t pid, const char *what)
{
  char path[64];
  (void) snprintf (path, sizeof path, "%d/%s", (int) pid, what);
  return openat (proc_fd, path, O_PATH | O_CLOEXEC);
}

static int
open_base (pid_t pid, int dirfd)
{
  char what[32];
  if (dirfd == AT_FDCWD)
    return open_of (pid, "cwd");
  (void) snprintf (what, sizeof what, "fd/%d", dirfd);
  return open_of (pid, what);
}

mode_t
umask_of (pid_t pid)
{
  char path[64], text[512];
  unsigned int mask = 022;
  (void) snprintf (path, sizeof path, "%d/status", (int) pid);
  cleanup_fd int fd = openat (proc_fd, path, O_RDONLY | O_CLOEXEC);
  ssize_t n = fd < 0 ? -1 : read (fd, text, sizeof text - 1);
  if (n <= 0)
    return mask;
  text[n] = '\0';
  const char *line = strstr (text, "\nUmask:");
  if (line != NULL)
    (void) sscanf (line, "\nUmask: %o", &mask);
  return mask & 0777;
}

/* Names that mean "the one who asks" in /proc would mean this process instead. Only descriptors are worth the trouble. */
static int
named_descriptor (const char *path)
{
  static const char *prefixes[] = { "/proc/self/fd/", "/proc/thread-self/fd/", "/dev/fd/" };
  static const char *standard[] = { "/dev/stdin", "/dev/stdout", "/dev/stderr" };
  for (int i = 0; i < 3; i++)
    if (strcmp (path, standard[i]) == 0)
      return i;
  for (size_t i = 0; i < sizeof prefixes / sizeof *prefixes; i++)
    {
      size_t length = strlen (prefixes[i]);
      char *end;
      if (strncmp (path, prefixes[i], length) != 0 || path[length] < '0' || path[length] > '9')
        continue;
      long number = strtol (path + length, &end, 10);
      if (*end == '\0' && number < 1 << 20)
        return (int) number;
    }
  return -1;
}

/* An O_PATH descriptor of what the process means by (dirfd, path), or -1. An empty path is the descriptor itself. */
int
resolve (pid_t pid, int dirfd, const char *path, bool follow)
{
  if (path[0] == '\0')
    return open_base (pid, dirfd);
  int descriptor = follow ? named_descriptor (path) : -1;
  if (descriptor >= 0)
    return open_base (pid, descriptor);
  if (!one_root || !stands_in_root)
    {
      cleanup_fd int root = open_of (pid, "root");
      if (root < 0 || fchdir (root) < 0 || chroot (".") < 0)
        return -1;
      stands_in_root = true;
    }
  cleanup_fd int base = path[0] == '/' ? -1 : open_base (pid, dirfd);
  if (path[0] != '/' && (base < 0 || fchdir (base) < 0))
    return -1;
  /* Links of /proc into other processes lead nowhere from here: they could lead to what only we have open. */
  struct open_how how = { .flags = (uint64_t) (O_PATH | O_CLOEXEC | (follow ? 0 : O_NOFOLLOW)), .resolve = RESOLVE_NO_MAGICLINKS };
  return (int) syscall (SYS_openat2, AT_FDCWD, path, &how, sizeof how);
}

/* The directory that a new file goes into, and its name there; -1 where the path names no new file. */
int
resolve_parent (pid_t pid, int dirfd, const char *path, char name[256])
{
  char parent[4096];
  size_t end = strlen (path);
  while (end > 0 && path[end - 1] == '/')
    end--;
  size_t start = end;
  while (start > 0 && path[start - 1] != '/')
    start--;
  size_t length = end - start;
  if (length == 0 || length > 255 || (length <= 2 && strncmp (path + start, "..", length) == 0))
    return -1;
  memcpy (name, path + start, length);
  name[length] = '\0';
  memcpy (parent, path, start);
  parent[start] = '\0';
  return resolve (pid, dirfd, start == 0 ? "." : parent, true);
}
