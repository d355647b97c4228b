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

/* Makes "7" lead where descriptor 7 leads, for calls that take no
 * descriptors. */
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

/* Reads at most two pages, so that a string near the end of its mapping is
 * readable although more was requested. */
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

/* Opens a descriptor of the process itself, for one with an inaccessible
 * /proc/<pid>/fd: one that may not be dumped, as sudo, in a namespace that
 * has no root. */
static int
copy_descriptor (pid_t pid, int number)
{
  cleanup_fd int process = (int) syscall (SYS_pidfd_open, pid, O_EXCL); /* PIDFD_THREAD, Linux 6.9 */
  cleanup_fd int older = process < 0 ? (int) syscall (SYS_pidfd_open, pid, 0) : -1;
  int fd = (int) syscall (SYS_pidfd_getfd, process < 0 ? older : process, number, 0);
  return fd;
}

static int
open_base (pid_t pid, int dirfd)
{
  char what[32];
  if (dirfd == AT_FDCWD)
    return open_of (pid, "cwd");
  (void) snprintf (what, sizeof what, "fd/%d", dirfd);
  int fd = open_of (pid, what);
  return fd < 0 && errno == EACCES ? copy_descriptor (pid, dirfd) : fd;
}

/* The text behind `label` in /proc/<pid>/status, or NULL. */
const char *
status_line (pid_t pid, const char *label, char text[4096])
{
  char path[64];
  (void) snprintf (path, sizeof path, "%d/status", (int) pid);
  cleanup_fd int fd = openat (proc_fd, path, O_RDONLY | O_CLOEXEC);
  ssize_t n = fd < 0 ? -1 : read (fd, text, 4095);
  if (n <= 0)
    return NULL;
  text[n] = '\0';
  const char *line = strstr (text, label);
  return line == NULL ? NULL : line + strlen (label);
}

mode_t
umask_of (pid_t pid)
{
  char text[4096];
  const char *mask = status_line (pid, "\nUmask:", text);
  return mask == NULL ? 022 : (mode_t) strtoul (mask, NULL, 8) & 0777;
}

/* False after PR_SET_NO_NEW_PRIVS: then set-uid programs run as their caller. */
bool
may_gain_privileges (pid_t pid)
{
  char text[4096];
  const char *set = status_line (pid, "\nNoNewPrivs:", text);
  return set == NULL || strtoul (set, NULL, 10) == 0;
}

/* The number of a process in its own PID namespace. */
static long
number_inside (pid_t pid)
{
  char text[4096];
  const char *numbers = status_line (pid, "\nNSpid:", text);
  long number = -1;
  while (numbers != NULL && *numbers == '\t')
    {
      char *end;
      number = strtol (numbers + 1, &end, 10);
      numbers = end;
    }
  return number;
}

static bool
is_in_namespace_of (pid_t pid, pid_t other)
{
  char path[64];
  struct stat one, two;
  (void) snprintf (path, sizeof path, "%d/ns/pid", (int) pid);
  if (fstatat (proc_fd, path, &one, 0) < 0)
    return false;
  (void) snprintf (path, sizeof path, "%d/ns/pid", (int) other);
  return fstatat (proc_fd, path, &two, 0) == 0 && one.st_ino == two.st_ino;
}

DIR *
open_processes (void)
{
  int fd = openat (proc_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  return fd < 0 ? NULL : fdopendir (fd);
}

/* The process that `caller` calls by that number, or -1; 0 is the caller. */
pid_t
process_called (pid_t caller, int number)
{
  if (number == 0 || number_inside (caller) == number)
    return caller;
  DIR *processes = open_processes ();
  pid_t found = -1;
  for (const struct dirent *one = NULL; processes != NULL && found < 0 && (one = readdir (processes)) != NULL;)
    {
      char *end;
      pid_t pid = (pid_t) strtol (one->d_name, &end, 10);
      if (pid > 0 && *end == '\0' && number_inside (pid) == number && is_in_namespace_of (pid, caller))
        found = pid;
    }
  if (processes != NULL)
    (void) closedir (processes);
  return found;
}

bool
is_running (pid_t pid, uint64_t device, uint64_t inode)
{
  char path[64];
  struct stat status;
  (void) snprintf (path, sizeof path, "%d/exe", (int) pid);
  return fstatat (proc_fd, path, &status, 0) == 0 && status.st_dev == device && status.st_ino == inode;
}

/* Parses names of the caller itself in /proc, which would mean this process
 * instead. Only descriptors are worth the trouble: returns the number, and
 * the remaining path in `rest`. */
static int
named_descriptor (const char *path, const char **rest)
{
  static const char *prefixes[] = { "/proc/self/fd/", "/proc/thread-self/fd/", "/dev/fd/" };
  static const char *standard[] = { "/dev/stdin", "/dev/stdout", "/dev/stderr" };
  *rest = "";
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
      *rest = end + strspn (end, "/");
      if ((*end == '\0' || *end == '/') && number < 1 << 20)
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
  const char *rest;
  int descriptor = named_descriptor (path, &rest);
  if (descriptor >= 0 && *rest == '\0' && follow)
    return open_base (pid, descriptor);
  if (descriptor >= 0 && *rest != '\0')
    {
      dirfd = descriptor;
      path = rest;
    }
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
