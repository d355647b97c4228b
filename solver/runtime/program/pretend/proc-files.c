/* Files of /proc, /sys and /dev where neither can be mounted (chroot.c). The tree has empty ones of the same names, for programs
 * that only look whether they are there. Opening one, reading a link and changing a mode through one are stopped by the filter
 * and answered here, outside of the tree, where the container's own /proc is:
 *
 *   /proc/self/fd/1, /dev/stdout, /dev/fd/63   a descriptor of the process, opened anew with the rights of its user
 *   /proc/self/status, /proc/PID/maps, ...      to be read, of processes in the same root
 *   /proc/cpuinfo, /proc/sys/..., /sys/...      to be read
 *   /proc/mounts and its kin                    one line: what a chroot is in, the kernel does not tell those inside
 *   /dev/null and its kin                       the container's own: the tree may be on a file system without devices
 *   /dev/ptmx, /dev/pts/N                       new terminals, and those made so
 *
 * Only regular files and descriptors are handed in, never a directory: from one, ".." would lead out. */
#include "pretend.h"

#include "kernel.h"
#include <errno.h>
#include <grp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/fsuid.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

enum kind { NOT_OURS, DESCRIPTOR, OF_PROCESS, LINK, MOUNTS, SYSTEM, SYSFS, DEVICE, NEW_TERMINAL, TERMINAL };

/* The meaning of a path. `rest` is relative to the directory that `kind`
 * names. */
struct target
{
  enum kind kind;
  pid_t pid;
  int number;
  const char *rest;
};

enum { MAX_TERMINALS = 64 };

static int proc_fd = -1, sys_fd = -1, dev_fd = -1;
static int terminals[MAX_TERMINALS];
static size_t terminal_count;

static const char *const OF_EACH_PROCESS[]
    = { "status", "stat", "statm", "maps", "smaps", "smaps_rollup", "cmdline", "environ", "limits", "cgroup", "comm", "io", "sched", "schedstat",
        "auxv", "oom_score", "oom_score_adj", "loginuid", "sessionid", "uid_map", "gid_map", "setgroups", "wchan", "personality" };
static const char *const OF_THE_SYSTEM[]
    = { "cpuinfo", "meminfo", "stat", "uptime", "loadavg", "version", "filesystems", "devices", "cmdline", "swaps", "partitions", "diskstats",
        "vmstat", "interrupts", "modules", "crypto", "misc", "cgroups", "softirqs", "buddyinfo", "zoneinfo", "locks" };
static const char *const DEVICES[] = { "null", "zero", "full", "random", "urandom" };

#define IS_IN(list, name) is_in (list, sizeof (list) / sizeof *(list), name)

static bool
is_in (const char *const *list, size_t count, const char *name)
{
  for (size_t i = 0; i < count; i++)
    if (strcmp (list[i], name) == 0)
      return true;
  return false;
}

/* Simplifies in place: "//" and "/./" become "/". False for a path with
 * "..", which is not needed here. */
static bool
tidy (char *path)
{
  char *to = path;
  for (const char *from = path; *from != '\0';)
    {
      if (from[0] == '/' && from[1] == '/')
        from += 1;
      else if (from[0] == '/' && from[1] == '.' && (from[2] == '/' || from[2] == '\0'))
        from += 2;
      else if (from[0] == '/' && from[1] == '.' && from[2] == '.' && (from[3] == '/' || from[3] == '\0'))
        return false;
      else
        *to++ = *from++;
    }
  *to = '\0';
  return true;
}

static int
to_number (const char *text)
{
  char *end;
  long value = *text >= '0' && *text <= '9' ? strtol (text, &end, 10) : -1;
  return value >= 0 && value < 1 << 22 && *end == '\0' ? (int) value : -1;
}

static ssize_t
link_of (pid_t pid, const char *what, char text[4096])
{
  char path[64];
  (void) snprintf (path, sizeof path, "%d/%s", (int) pid, what);
  ssize_t n = readlinkat (proc_fd, path, text, 4095);
  if (n >= 0)
    text[n] = '\0';
  return n;
}

/* Tells whether a process has the caller's root: others of the container do
 * not concern the step. */
static bool
is_of_step (pid_t asking, pid_t other)
{
  char own[4096], its[4096];
  return asking == other || (link_of (asking, "root", own) > 0 && link_of (other, "root", its) > 0 && strcmp (own, its) == 0);
}

static struct target
target_in_process (pid_t pid, const char *name)
{
  struct target target = { .pid = pid, .rest = name };
  if (strncmp (name, "fd/", 3) == 0)
    {
      target.number = to_number (name + 3);
      target.kind = target.number >= 0 ? DESCRIPTOR : NOT_OURS;
    }
  else if (strcmp (name, "exe") == 0 || strcmp (name, "cwd") == 0 || strcmp (name, "root") == 0)
    target.kind = LINK;
  else if (strcmp (name, "mounts") == 0 || strcmp (name, "mountinfo") == 0)
    target.kind = MOUNTS;
  else if (IS_IN (OF_EACH_PROCESS, name) || strncmp (name, "net/", 4) == 0)
    target.kind = OF_PROCESS;
  return target;
}

static struct target
target_in_proc (pid_t asking, const char *name)
{
  static const struct target none = { .kind = NOT_OURS };
  if (strncmp (name, "self/", 5) == 0)
    return target_in_process (asking, name + 5);
  if (strncmp (name, "thread-self/", 12) == 0)
    return target_in_process (asking, name + 12);
  if (strcmp (name, "mounts") == 0 || strncmp (name, "net/", 4) == 0)
    return target_in_process (asking, name);
  if (*name >= '0' && *name <= '9')
    {
      const char *slash = strchr (name, '/');
      char digits[16];
      if (slash == NULL || (size_t) (slash - name) >= sizeof digits)
        return none;
      memcpy (digits, name, (size_t) (slash - name));
      digits[slash - name] = '\0';
      int pid = to_number (digits);
      return pid > 0 && is_of_step (asking, pid) ? target_in_process (pid, slash + 1) : none;
    }
  bool is_ours = strncmp (name, "sys/", 4) == 0 || IS_IN (OF_THE_SYSTEM, name);
  return (struct target){ .kind = is_ours ? SYSTEM : NOT_OURS, .rest = name };
}

static struct target
target_in_dev (pid_t asking, const char *name)
{
  static const char *const standard[] = { "stdin", "stdout", "stderr" };
  for (int i = 0; i < 3; i++)
    if (strcmp (name, standard[i]) == 0)
      return (struct target){ .kind = DESCRIPTOR, .pid = asking, .number = i };
  if (strncmp (name, "fd/", 3) == 0)
    return target_in_process (asking, name);
  if (strcmp (name, "ptmx") == 0 || strcmp (name, "pts/ptmx") == 0)
    return (struct target){ .kind = NEW_TERMINAL };
  if (strncmp (name, "pts/", 4) == 0)
    return (struct target){ .kind = TERMINAL, .number = to_number (name + 4) };
  return (struct target){ .kind = IS_IN (DEVICES, name) ? DEVICE : NOT_OURS, .rest = name };
}

/* Works on the path's own bytes. Most paths are not ours, and the first
 * bytes show that. */
static struct target
target_of (pid_t asking, char path[4096])
{
  if (!tidy (path))
    return (struct target){ .kind = NOT_OURS };
  if (strncmp (path, "/proc/", 6) == 0)
    return target_in_proc (asking, path + 6);
  if (strncmp (path, "/dev/", 5) == 0)
    return target_in_dev (asking, path + 5);
  return (struct target){ .kind = strncmp (path, "/sys/", 5) == 0 ? SYSFS : NOT_OURS, .rest = path + 5 };
}

static bool
may_be_ours (const char *path)
{
  return path[1] == '/' || path[1] == '.' || strncmp (path, "/proc/", 6) == 0 || strncmp (path, "/dev/", 5) == 0
         || strncmp (path, "/sys/", 5) == 0;
}

struct ids
{
  unsigned int uid, fsuid, gid, fsgid;
};

static bool
ids_of (pid_t pid, struct ids *ids)
{
  char path[64], text[4096];
  (void) snprintf (path, sizeof path, "%d/status", (int) pid);
  cleanup_fd int fd = openat (proc_fd, path, O_RDONLY | O_CLOEXEC);
  ssize_t n = fd < 0 ? -1 : read (fd, text, sizeof text - 1);
  if (n <= 0)
    return false;
  text[n] = '\0';
  const char *uids = strstr (text, "\nUid:"), *gids = strstr (text, "\nGid:");
  return uids != NULL && gids != NULL && sscanf (uids, "\nUid: %u %*u %*u %u", &ids->uid, &ids->fsuid) == 2
         && sscanf (gids, "\nGid: %u %*u %*u %u", &ids->gid, &ids->fsgid) == 2;
}

/* Opens and changes files with the rights of the process's user, from here
 * to `be_root`. That user also decides which /proc/PID we may read: a
 * container's root has no access to the processes of others. */
static bool
be_user_of (pid_t pid)
{
  struct ids ids;
  if (!ids_of (pid, &ids))
    return false;
  (void) setfsgid (ids.fsgid);
  (void) setfsuid (ids.fsuid);
  return true;
}

static void
be_root (void)
{
  int error = errno;
  (void) setfsuid (0);
  (void) setfsgid (0);
  errno = error;
}

/* Memory is read with real ids, which stay those of the last process that had others. */
static bool
read_path_of (pid_t pid, uint64_t address, char path[4096])
{
  struct ids ids;
  if (read_path (pid, address, path))
    return true;
  return ids_of (pid, &ids) && setresgid (ids.gid, (gid_t) -1, (gid_t) -1) == 0 && setresuid (ids.uid, (uid_t) -1, (uid_t) -1) == 0
         && read_path (pid, address, path);
}

/* A file with the text, to be read. */
static int
open_text (const char *text)
{
  char path[64];
  cleanup_fd int fd = memfd_create ("mounts", MFD_CLOEXEC);
  if (fd < 0 || write (fd, text, strlen (text)) < 0)
    return -1;
  (void) snprintf (path, sizeof path, "/proc/self/fd/%d", fd);
  return open (path, O_RDONLY | O_CLOEXEC);
}

static int
open_descriptor (const struct target *target, int flags)
{
  char path[64];
  (void) snprintf (path, sizeof path, "%d/fd/%d", (int) target->pid, target->number);
  return openat (proc_fd, path, (flags & ~(O_CREAT | O_EXCL | O_NOFOLLOW)) | O_NOCTTY | O_CLOEXEC);
}

/* A regular file below a directory, to be read; links lead nowhere else. */
static int
open_to_read (int dirfd, const char *path, bool follow)
{
  struct stat status;
  struct open_how how = { .flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK,
                          .resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS | (follow ? 0 : RESOLVE_NO_SYMLINKS) };
  int fd = (int) syscall (SYS_openat2, dirfd, path, &how, sizeof how);
  if (fd >= 0 && (fstat (fd, &status) < 0 || !S_ISREG (status.st_mode)))
    {
      (void) close (fd);
      return -1;
    }
  return fd;
}

static int
open_device (const char *name, int flags)
{
  struct stat status;
  if (fstatat (dev_fd, name, &status, 0) < 0 || !S_ISCHR (status.st_mode))
    return -1;
  return openat (dev_fd, name, (flags & ~(O_CREAT | O_EXCL | O_TRUNC | O_NOFOLLOW)) | O_NOCTTY | O_CLOEXEC);
}

static int
open_new_terminal (int flags)
{
  int number, fd = open_device ("ptmx", flags);
  if (fd >= 0 && ioctl (fd, TIOCGPTN, &number) == 0)
    terminals[terminal_count++ % MAX_TERMINALS] = number;
  return fd;
}

static int
open_terminal (int number, int flags)
{
  char name[32];
  size_t count = terminal_count < MAX_TERMINALS ? terminal_count : MAX_TERMINALS;
  (void) snprintf (name, sizeof name, "pts/%d", number);
  for (size_t i = 0; i < count; i++)
    if (terminals[i] == number)
      return open_device (name, flags);
  return -1;
}

static int
open_target (const struct target *target, int flags)
{
  bool reads = (flags & O_ACCMODE) == O_RDONLY && (flags & O_DIRECTORY) == 0;
  char path[512];
  switch (target->kind)
    {
    case DESCRIPTOR:
      return open_descriptor (target, flags);
    case OF_PROCESS:
      if (snprintf (path, sizeof path, "%d/%s", (int) target->pid, target->rest) >= (int) sizeof path)
        return -1;
      return reads ? open_to_read (proc_fd, path, false) : -1;
    case MOUNTS:
      if (!reads)
        return -1;
      return open_text (strcmp (target->rest, "mounts") == 0 ? "overlay / overlay rw,relatime 0 0\n"
                                                              : "1 0 0:1 / / rw,relatime - overlay overlay rw\n");
    case SYSTEM:
      return reads ? open_to_read (proc_fd, target->rest, false) : -1;
    case SYSFS:
      return reads && sys_fd >= 0 ? open_to_read (sys_fd, target->rest, true) : -1;
    case DEVICE:
      return open_device (target->rest, flags);
    case NEW_TERMINAL:
      return open_new_terminal (flags);
    case TERMINAL:
      return open_terminal (target->number, flags);
    case LINK:
    case NOT_OURS:
    default:
      return -1;
    }
}

static struct answer
answer_open (const struct seccomp_notif *call, char path[4096], int flags)
{
  struct target target = target_of ((pid_t) call->pid, path);
  if (target.kind == NOT_OURS || target.kind == LINK || (flags & O_PATH) != 0)
    return LET_THE_KERNEL;
  errno = ENOENT;
  cleanup_fd int fd = open_target (&target, flags);
  if (fd >= 0)
    return hand_descriptor (call, fd, flags);
  return target.kind == DESCRIPTOR && (flags & O_DIRECTORY) == 0 ? answer_error (errno) : LET_THE_KERNEL;
}

/* Returns the target of a link in /proc, as seen by the process inside. */
static struct answer
answer_readlink (const struct seccomp_notif *call, char path[4096], uint64_t buffer, uint64_t size)
{
  char text[4096], root[4096], name[32];
  struct target target = target_of ((pid_t) call->pid, path);
  if ((target.kind != DESCRIPTOR && target.kind != LINK) || strncmp (path, "/proc/", 6) != 0)
    return LET_THE_KERNEL;
  if (target.kind == DESCRIPTOR)
    (void) snprintf (name, sizeof name, "fd/%d", target.number);
  else
    (void) snprintf (name, sizeof name, "%s", target.rest);
  ssize_t length = link_of (target.pid, name, text), above = link_of (target.pid, "root", root);
  if (length < 0 || above < 0)
    return LET_THE_KERNEL;
  const char *shown = text;
  if (strcmp (text, root) == 0)
    shown = "/";
  else if (strncmp (text, root, (size_t) above) == 0 && text[above] == '/')
    shown = text + above;
  size_t count = strlen (shown) < size ? strlen (shown) : (size_t) size;
  if (!write_memory ((pid_t) call->pid, buffer, shown, count))
    return answer_error (EFAULT);
  return answer_value ((int64_t) count);
}

/* The C library changes the mode of what may be a link so. */
static struct answer
answer_chmod (const struct seccomp_notif *call, char path[4096], mode_t mode)
{
  char name[64];
  struct target target = target_of ((pid_t) call->pid, path);
  if (target.kind != DESCRIPTOR)
    return LET_THE_KERNEL;
  (void) snprintf (name, sizeof name, "%d/fd/%d", (int) target.pid, target.number);
  return answer_error (fchmodat (proc_fd, name, mode & 07777, 0) < 0 ? errno : 0);
}

static struct answer
answer_by_name (const struct seccomp_notif *call, char path[4096])
{
  const uint64_t *a = (const uint64_t *) (const void *) call->data.args;
  switch (call->data.nr)
    {
#ifdef SYS_open
    case SYS_open:
      return answer_open (call, path, (int) a[1]);
    case SYS_readlink:
      return answer_readlink (call, path, a[1], a[2]);
    case SYS_chmod:
      return answer_chmod (call, path, (mode_t) a[1]);
#endif
    case SYS_openat:
      return answer_open (call, path, (int) a[2]);
    case SYS_readlinkat:
      return answer_readlink (call, path, a[2], a[3]);
    case SYS_fchmodat:
      return answer_chmod (call, path, (mode_t) a[2]);
    default:
      return LET_THE_KERNEL;
    }
}

static struct answer
answer_call (const struct seccomp_notif *call)
{
  const uint64_t *a = (const uint64_t *) (const void *) call->data.args;
  pid_t pid = (pid_t) call->pid;
  char path[4096];
#ifdef SYS_open
  int number = call->data.nr;
  bool is_old = number == SYS_open || number == SYS_readlink || number == SYS_chmod;
#else
  bool is_old = false;
#endif
  if (!read_path_of (pid, is_old ? a[0] : a[1], path) || path[0] != '/' || !may_be_ours (path) || !is_still_asking (call->id)
      || !be_user_of (pid))
    return LET_THE_KERNEL;
  struct answer answer = answer_by_name (call, path);
  be_root ();
  return answer;
}

static void
prepare (const struct plan *plan)
{
  (void) plan;
  proc_fd = open ("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC);
  sys_fd = open ("/sys", O_PATH | O_DIRECTORY | O_CLOEXEC);
  dev_fd = open ("/dev", O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (proc_fd < 0 || dev_fd < 0)
    die_errno ("cannot open /proc and /dev to show them to the command");
  (void) setgroups (0, NULL);
}

const struct answering PROC_FILES = { prepare, answer_call };
