/* Owners and users other than one, in a user namespace that has only one. The filter stops the few system calls that
 * would need more (seccomp's user notification) and this process, outside of the container, answers them:
 *
 *   chown and its kin          the owner is written down with the file (owner-record.h); layers are packed with it
 *   setuid, setgroups, ...     succeed by the rules of the kernel; what the process then is, is remembered (identities.c)
 *   getuid, getgroups, ...     tell what it became; before its first change the kernel answers
 *   capset, prctl, execve      likewise for capabilities (capabilities.c), set-uid programs and file capabilities (programs.c)
 *   mkdir, open(O_CREAT), ...  a file that needs a record of its owner, or a list, is made here with it written down (creations.c)
 *   mknod of a device          an empty file is made that stands for it
 *
 *   unlink, chmod, access, ... refused or granted as a real user would be (changes.c, rights.c)
 *   getxattr and its kin       do not show what is written down, and tell access control lists from it (attributes.c)
 *   setrlimit and its kin      of the one limit that holds a process's identity (limits.c, holders.c)
 *   rename, link               go on, with the record of a link that overlayfs copies up on the way
 *   stat and its kin           tell the owner that is written down (stats.c)
 *
 * Where a user namespace has many ids, the same serves for owners beyond them and for devices (ids_are_true): identities and rights
 * are then the kernel's, and only calls about files that have a record are answered.
 *
 * It is a convenience and no border: whatever is answered here, the kernel still sees the one id. So it does no harm that a
 * process could change a path between our reading it and the kernel's. */
#include "pretend.h"

#include "kernel.h"
#include <errno.h>
#include <linux/capability.h>

static bool is_called_root; /* the step's USER is root, so what the kernel shows as its own is root's */

static struct answer
change_owner (const struct seccomp_notif *call, int dirfd, const char *path, bool follow, uint32_t uid, uint32_t gid)
{
  pid_t pid = (pid_t) call->pid;
  cleanup_fd int fd = resolve (pid, dirfd, path, follow);
  if (fd < 0 || !is_still_asking (call->id))
    return LET_THE_KERNEL;
  const struct identity *caller = identity_of (pid);
  struct owner_record record = record_of (fd);
  bool is_kernels = ids_are_true () && !is_beyond (uid, gid) && !find_record (fd, &record);
  if (is_kernels || (ids_are_true () && !(has_capability (caller, CAP_CHOWN) && has_capability (caller, CAP_DAC_OVERRIDE))))
    return LET_THE_KERNEL;
  bool gives_away = uid != UINT32_MAX && uid != record.uid;
  bool regroups = gid != UINT32_MAX && gid != record.gid;
  if (!has_capability (caller, CAP_CHOWN)
      && (gives_away || (regroups && (record.uid != caller->uid[FILES] || !is_in_group (caller, gid)))))
    return answer_error (EPERM);
  /* Sets the one id, for the other effects of a change of owner: setuid bits
   * and capabilities go, the file is copied up. */
  if (!ids_are_true () && fchownat (fd, "", uid == UINT32_MAX ? UINT32_MAX : 0, gid == UINT32_MAX ? UINT32_MAX : 0, AT_EMPTY_PATH) < 0)
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
  bool is_recorded = ids_are_true () ? find_record (fd, &record) : !is_default_owner (&record);
  if (is_recorded && is_still_asking (call->id) && (ids_are_true () || fchownat (fd, "", 0, 0, AT_EMPTY_PATH) == 0))
    (void) write_record (fd, &record);
}

static struct answer
move (const struct seccomp_notif *call, int dirfd, uint64_t from)
{
  struct answer answer = ids_are_true () ? LET_THE_KERNEL : check_change (call);
  if (answer.carry_on)
    carry_record (call, dirfd, from);
  return answer;
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
  if (is_network_call (number))
    return note_network_call (call);
  if (is_question_of_identity (number))
    return is_first_identity (pid) && number != SYS_getgroups ? LET_THE_KERNEL : tell_identity (pid, number, a);
  if (is_change_of_identity (number))
    return change_identity (pid, number, a);
  if (is_question_of_status (number))
    return tell_status (call, is_called_root);
  if (is_about_attributes (number))
    return answer_attributes (call, is_called_root);
  if (is_change (number))
    return check_change (call);
  switch (number)
    {
#ifdef SYS_rename
    case SYS_rename:
    case SYS_link:
      return move (call, AT_FDCWD, a[0]);
#endif
#ifdef SYS_renameat
    case SYS_renameat:
#endif
    case SYS_renameat2:
    case SYS_linkat:
      return move (call, (int) a[0], a[1]);
    case SYS_prlimit64:
#ifdef SYS_setrlimit
    case SYS_setrlimit:
    case SYS_getrlimit:
#endif
      return answer_limit (pid, number, a);
    case SYS_capget:
      return tell_capabilities (pid, a);
    case SYS_capset:
      return change_capabilities (pid, a);
    case SYS_prctl:
      return control_process (pid, a);
    case SYS_execve:
      return start_program (call, AT_FDCWD, a[0], 0);
    case SYS_execveat:
      return start_program (call, (int) a[0], a[1], (int) a[4]);
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
      return answer_creation (call, is_called_root);
    }
}

static void
prepare (const struct plan *plan)
{
  prepare_callers ();
  prepare_network_calls (plan);
  prepare_records (plan);
  prepare_devices ();
  first_identity (plan);
  is_called_root = ids_are_true () || (plan->uid == 0 && plan->gid == 0);
  if (ids_are_true ())
    roots_may_differ (); /* their chroot is not stopped */
}

const struct answering PRETENDED_IDS = { prepare, answer_call };
