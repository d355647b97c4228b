/* stat() and its kin: the owner that is written down, in place of the one id. useradd keeps the group of /etc/shadow, tar
 * and cp -a read the owners they write, git and ssh compare a file's owner with the user: all of them by these calls. */
#include "pretend.h"

#include "kernel.h"
#include <errno.h>
#include <sys/sysmacros.h>

bool
is_question_of_status (long call)
{
  switch (call)
    {
#ifdef SYS_stat
    case SYS_stat:
    case SYS_lstat:
#endif
    case SYS_fstat:
    case SYS_newfstatat:
    case SYS_statx:
      return true;
    default:
      return false;
    }
}

/* A request of any of the five calls. */
struct question
{
  int dirfd, flags;
  uint64_t path, buffer;
  bool has_path, is_extended;
  unsigned int mask;
};

static struct question
question_of (long call, const uint64_t a[6])
{
  switch (call)
    {
#ifdef SYS_stat
    case SYS_stat:
      return (struct question){ .dirfd = AT_FDCWD, .path = a[0], .has_path = true, .buffer = a[1] };
    case SYS_lstat:
      return (struct question){ .dirfd = AT_FDCWD, .path = a[0], .has_path = true, .buffer = a[1], .flags = AT_SYMLINK_NOFOLLOW };
#endif
    case SYS_fstat:
      return (struct question){ .dirfd = (int) a[0], .buffer = a[1], .flags = AT_EMPTY_PATH };
    case SYS_newfstatat:
      return (struct question){ .dirfd = (int) a[0], .path = a[1], .has_path = true, .buffer = a[2], .flags = (int) a[3] };
    default:
      return (struct question){ .dirfd = (int) a[0], .path = a[1], .has_path = a[1] != 0, .flags = (int) a[2],
                                .mask = (unsigned int) a[3], .buffer = a[4], .is_extended = true };
    }
}

static mode_t
mode_of (mode_t mode, const struct owner_record *record)
{
  if (record->node == 'm')
    return (mode & S_IFMT) | (record->major & 07777);
  return !is_stand_in (record) ? mode : (mode & 07777) | (record->node == 'c' ? S_IFCHR : S_IFBLK);
}

static bool
answer_plain (pid_t pid, int fd, const struct question *question, const struct owner_record *record)
{
  struct stat status;
  if (fstatat (fd, "", &status, AT_EMPTY_PATH) < 0)
    return false;
  status.st_uid = record->uid;
  status.st_gid = record->gid;
  status.st_mode = mode_of (status.st_mode, record);
  if (is_stand_in (record))
    status.st_rdev = makedev (record->major, record->minor);
  return write_memory (pid, question->buffer, &status, sizeof status);
}

static bool
answer_extended (pid_t pid, int fd, const struct question *question, const struct owner_record *record)
{
  struct statx status;
  if (statx (fd, "", AT_EMPTY_PATH, question->mask, &status) < 0)
    return false;
  status.stx_uid = record->uid;
  status.stx_gid = record->gid;
  status.stx_mode = (uint16_t) mode_of (status.stx_mode, record);
  if (is_stand_in (record))
    {
      status.stx_rdev_major = record->major;
      status.stx_rdev_minor = record->minor;
    }
  return write_memory (pid, question->buffer, &status, sizeof status);
}

/* Tells whether the caller could have found the file by itself: what the kernel would refuse, it is to refuse. */
static bool
is_found_by_caller (pid_t pid, const struct question *question, const char *path)
{
  char name[256];
  if (!ids_are_true () || path[0] == '\0')
    return true;
  cleanup_fd int parent = resolve_parent (pid, question->dirfd, path, name);
  return parent < 0 || may_reach (identity_of (pid), parent);
}

struct answer
tell_status (const struct seccomp_notif *call, bool one_id_is_root)
{
  pid_t pid = (pid_t) call->pid;
  char path[4096] = "";
  struct question question = question_of (call->data.nr, (const uint64_t *) (const void *) call->data.args);
  if (question.has_path && !read_path (pid, question.path, path))
    return LET_THE_KERNEL;
  if (path[0] == '\0' && (question.flags & AT_EMPTY_PATH) == 0)
    return LET_THE_KERNEL;
  cleanup_fd int fd = resolve (pid, question.dirfd, path, (question.flags & AT_SYMLINK_NOFOLLOW) == 0);
  struct owner_record record = { 0 };
  if (fd < 0)
    return LET_THE_KERNEL;
  /* Unrecorded is root's, but only where records are: other file systems know their owners. */
  bool is_recorded = find_record (fd, &record);
  if (!is_recorded && (one_id_is_root || !is_on_root (fd)))
    return LET_THE_KERNEL;
  if (!is_found_by_caller (pid, &question, path) || !is_still_asking (call->id))
    return LET_THE_KERNEL;
  bool told = question.is_extended ? answer_extended (pid, fd, &question, &record) : answer_plain (pid, fd, &question, &record);
  return told ? answer_value (0) : LET_THE_KERNEL;
}
