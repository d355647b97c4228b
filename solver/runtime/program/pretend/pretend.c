/* Owners and users other than one, in a user namespace that has only one. The filter stops the few system calls that
 * would need more (seccomp's user notification) and this process, outside of the container, answers them:
 *
 *   chown and its kin          the owner is written down with the file (owner-record.h); layers are packed with it
 *   setuid, setgroups, ...     succeed by the rules of the kernel; what the process then is, is remembered (identities.c)
 *   getuid, getgroups, ...     tell what it became; before its first change the kernel answers
 *   mkdir, open(O_CREAT), ...  by a process that became somebody else: the file is made here, with that owner written down
 *   mknod of a device          an empty file is made that stands for it
 *
 *   rename, link               go on, with the record of a link that overlayfs copies up on the way
 *   stat and its kin           tell the owner that is written down (stats.c)
 *
 * It is a convenience and no border: whatever is answered here, the kernel still sees the one id. So it does no harm that a
 * process could change a path between our reading it and the kernel's. */
#include "pretend.h"

#include "kernel.h"
#include <errno.h>

static bool is_called_root; /* the step's USER is root, so what the kernel shows as its own is root's */

static struct answer
change_owner (const struct seccomp_notif *call, int dirfd, const char *path, bool follow, uint32_t uid, uint32_t gid)
{
  pid_t pid = (pid_t) call->pid;
  cleanup_fd int fd = resolve (pid, dirfd, path, follow);
  if (fd < 0 || !is_still_asking (call->id))
    return LET_THE_KERNEL;
  const struct identity *who = identity_of (pid);
  struct owner_record record = record_of (fd);
  bool gives_away = uid != UINT32_MAX && uid != record.uid;
  bool regroups = gid != UINT32_MAX && gid != record.gid;
  if (who->uid[FILES] != 0 && (gives_away || (regroups && (record.uid != who->uid[FILES] || !is_in_group (who, gid)))))
    return answer_error (EPERM);
  /* To the one id, for what else a change of owner does: setuid bits and capabilities go, the file is copied up. */
  if (fchownat (fd, "", uid == UINT32_MAX ? UINT32_MAX : 0, gid == UINT32_MAX ? UINT32_MAX : 0, AT_EMPTY_PATH) < 0)
    return answer_error (errno);
  if (uid != UINT32_MAX)
    record.uid = uid;
  if (gid != UINT32_MAX)
    record.gid = gid;
  return answer_error (write_record (fd, &record));
}

/* A rename or a new name makes overlayfs copy a link of a lower layer up: to a new file, which has no record yet. Files
 * and directories take theirs along. */
static void
carry_record (const struct seccomp_notif *call, int dirfd, uint64_t address)
{
  char path[4096];
  struct stat status;
  if (!read_path ((pid_t) call->pid, address, path) || path[0] == '\0')
    return;
  cleanup_fd int fd = resolve ((pid_t) call->pid, dirfd, path, false);
  if (fd < 0 || fstat (fd, &status) < 0 || S_ISREG (status.st_mode) || S_ISDIR (status.st_mode))
    return;
  struct owner_record record = record_of (fd);
  if (!is_default_owner (&record) && is_still_asking (call->id) && fchownat (fd, "", 0, 0, AT_EMPTY_PATH) == 0)
    (void) write_record (fd, &record);
}

static struct answer
answer_call (const struct seccomp_notif *call)
{
  const uint64_t *a = (const uint64_t *) (const void *) call->data.args;
  pid_t pid = (pid_t) call->pid;
  long number = call->data.nr;
  char path[4096];
  if (!is_still_asking (call->id))
    return LET_THE_KERNEL;
  if (is_question_of_identity (number))
    return is_first_identity (pid) && number != SYS_getgroups ? LET_THE_KERNEL : tell_identity (pid, number, a);
  if (is_change_of_identity (number))
    return change_identity (pid, number, a);
  if (is_question_of_status (number))
    return tell_status (call, is_called_root);
  switch (number)
    {
#ifdef SYS_rename
    case SYS_rename:
    case SYS_link:
      carry_record (call, AT_FDCWD, a[0]);
      return LET_THE_KERNEL;
#endif
#ifdef SYS_renameat
    case SYS_renameat:
#endif
    case SYS_renameat2:
    case SYS_linkat:
      carry_record (call, (int) a[0], a[1]);
      return LET_THE_KERNEL;
    case SYS_chroot:
      roots_may_differ ();
      return LET_THE_KERNEL;
#ifdef SYS_chown
    case SYS_chown:
    case SYS_lchown:
      if (!read_path (pid, a[0], path) || path[0] == '\0')
        return LET_THE_KERNEL;
      return change_owner (call, AT_FDCWD, path, number == SYS_chown, (uint32_t) a[1], (uint32_t) a[2]);
#endif
    case SYS_fchown:
      return change_owner (call, (int) a[0], "", true, (uint32_t) a[1], (uint32_t) a[2]);
    case SYS_fchownat:
      if (!read_path (pid, a[1], path) || (path[0] == '\0' && (a[4] & AT_EMPTY_PATH) == 0))
        return LET_THE_KERNEL;
      return change_owner (call, (int) a[0], path, (a[4] & AT_SYMLINK_NOFOLLOW) == 0, (uint32_t) a[2], (uint32_t) a[3]);
    default:
      return answer_creation (call);
    }
}

static void
prepare (const struct plan *plan)
{
  prepare_callers ();
  prepare_records (plan);
  first_identity (plan);
  is_called_root = plan->uid == 0 && plan->gid == 0;
}

const struct answering PRETENDED_IDS = { prepare, answer_call };
