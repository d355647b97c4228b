/* Calls that change names, modes, times and sizes, and access(), by a process that is not root: refused where the kernel would have
 * refused a real user (rights.c). Root's go on at once. */
#include "pretend.h"

#include "kernel.h"
#include <errno.h>
#include <linux/capability.h>
#include <sys/syscall.h>

#ifndef SYS_fchmodat2
#define SYS_fchmodat2 452
#endif
#ifndef SYS_faccessat2
#define SYS_faccessat2 439
#endif

/* A file as a call names it: by descriptor where `path` is 0. */
struct subject
{
  int dirfd;
  uint64_t path;
  bool follow;
};

static int
open_subject (const struct seccomp_notif *call, struct subject subject, int *parent)
{
  pid_t pid = (pid_t) call->pid;
  char path[4096] = "", name[256];
  if (subject.path != 0 && !read_path (pid, subject.path, path))
    return -1;
  if (parent != NULL)
    *parent = path[0] == '\0' ? -1 : resolve_parent (pid, subject.dirfd, path, name);
  return resolve (pid, subject.dirfd, path, subject.follow);
}

static struct answer
change_mode (const struct seccomp_notif *call, struct subject subject, uint64_t mode)
{
  cleanup_fd int fd = open_subject (call, subject, NULL);
  return check_mode (call, fd, (mode_t) mode);
}

static struct answer
change_times (const struct seccomp_notif *call, struct subject subject, uint64_t times)
{
  cleanup_fd int fd = open_subject (call, subject, NULL);
  return check_times (call, fd, times == 0);
}

static struct answer
ask_access (const struct seccomp_notif *call, struct subject subject, uint64_t wanted, bool by_effective)
{
  cleanup_fd int parent = -1;
  cleanup_fd int fd = open_subject (call, subject, &parent);
  return tell_access (call, parent, fd, (unsigned int) wanted, by_effective);
}

static struct answer
cut (const struct seccomp_notif *call, struct subject subject)
{
  cleanup_fd int fd = open_subject (call, subject, NULL);
  struct owner_record owner;
  if (fd >= 0 && find_record (fd, &owner) && is_stand_in (&owner))
    return answer_error (EINVAL);
  return fd < 0 || ids_are_true () || may_open (identity_of ((pid_t) call->pid), -1, fd, O_WRONLY) ? LET_THE_KERNEL : answer_error (EACCES);
}

/* Tells whether the call is one of these. The old forms of a call do not
 * exist on every machine. */
static bool
answer_old_change (const struct seccomp_notif *call, struct answer *out)
{
#ifdef SYS_unlink
  const uint64_t *a = (const uint64_t *) (const void *) call->data.args;
  struct subject named = { AT_FDCWD, a[0], true };
  switch (call->data.nr)
    {
    case SYS_unlink:
    case SYS_rmdir:
      *out = check_removal (call, AT_FDCWD, a[0]);
      return true;
    case SYS_rename:
      *out = check_rename (call, AT_FDCWD, a[0], AT_FDCWD, a[1]);
      return true;
    case SYS_link:
      *out = check_link (call, AT_FDCWD, a[0], AT_FDCWD, a[1]);
      return true;
    case SYS_chmod:
      *out = change_mode (call, named, a[1]);
      return true;
    case SYS_utime:
    case SYS_utimes:
      *out = change_times (call, named, a[1]);
      return true;
    case SYS_futimesat:
      *out = change_times (call, (struct subject){ (int) a[0], a[1], true }, a[2]);
      return true;
    case SYS_access:
      *out = ask_access (call, named, a[1], false);
      return true;
    default:
      return false;
    }
#else
  (void) call;
  (void) out;
  return false;
#endif
}

struct answer
check_change (const struct seccomp_notif *call)
{
  const uint64_t *a = (const uint64_t *) (const void *) call->data.args;
  const struct identity *caller = identity_of ((pid_t) call->pid);
  struct answer old;
  if (call->data.nr == SYS_truncate)
    return cut (call, (struct subject){ AT_FDCWD, a[0], true });
  if (has_capability (caller, CAP_DAC_OVERRIDE) && has_capability (caller, CAP_FOWNER) && caller->uid[REAL] == caller->uid[EFFECTIVE])
    return LET_THE_KERNEL;
  if (answer_old_change (call, &old))
    return old;
  switch (call->data.nr)
    {
    case SYS_unlinkat:
      return check_removal (call, (int) a[0], a[1]);
#ifdef SYS_renameat
    case SYS_renameat:
#endif
    case SYS_renameat2:
      return check_rename (call, (int) a[0], a[1], (int) a[2], a[3]);
    case SYS_linkat:
      return check_link (call, (int) a[0], a[1], (int) a[2], a[3]);
    case SYS_fchmod:
      return change_mode (call, (struct subject){ (int) a[0], 0, true }, a[1]);
    case SYS_fchmodat:
      return change_mode (call, (struct subject){ (int) a[0], a[1], true }, a[2]);
    case SYS_fchmodat2:
      return change_mode (call, (struct subject){ (int) a[0], a[1], (a[3] & AT_SYMLINK_NOFOLLOW) == 0 }, a[2]);
    case SYS_utimensat:
      return change_times (call, (struct subject){ (int) a[0], a[1], (a[3] & AT_SYMLINK_NOFOLLOW) == 0 }, a[2]);
    case SYS_faccessat:
      return ask_access (call, (struct subject){ (int) a[0], a[1], true }, a[2], false);
    case SYS_faccessat2:
      return ask_access (call, (struct subject){ (int) a[0], a[1], (a[3] & AT_SYMLINK_NOFOLLOW) == 0 }, a[2],
                         (a[3] & AT_EACCESS) != 0);
    default:
      return LET_THE_KERNEL;
    }
}

bool
is_change (long call)
{
  switch (call)
    {
#ifdef SYS_unlink
    case SYS_unlink:
    case SYS_rmdir:
    case SYS_chmod:
    case SYS_utime:
    case SYS_utimes:
    case SYS_futimesat:
    case SYS_access:
#endif
    case SYS_unlinkat:
    case SYS_fchmod:
    case SYS_fchmodat:
    case SYS_fchmodat2:
    case SYS_utimensat:
    case SYS_faccessat:
    case SYS_faccessat2:
    case SYS_truncate:
      return true;
    default:
      return false;
    }
}
