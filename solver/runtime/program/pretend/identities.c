/* The identities of processes, by the rules of the kernel. The kernel has
 * one id for all of them, so the requests of set*id calls are remembered
 * (holders.c), and the get*id calls are answered from that. */
#include "pretend.h"

#include <errno.h>
#include <linux/capability.h>
#include <stdlib.h>
#include <sys/syscall.h>

#define UNCHANGED UINT32_MAX

bool
is_in_group (const struct identity *caller, uint32_t gid)
{
  if (caller->gid[FILES] == gid)
    return true;
  for (size_t i = 0; i < caller->group_count; i++)
    if (caller->groups[i] == gid)
      return true;
  return false;
}

static bool
is_one_of (uint32_t id, const uint32_t ids[4], int count)
{
  for (int i = 0; i < count; i++)
    if (ids[i] == id)
      return true;
  return false;
}

/* The rules of kernel/sys.c for one kind of id. `ids` is changed only where 0 is returned. */
static int
set_one (uint32_t ids[4], uint32_t id, bool may)
{
  if (!may && id != ids[REAL] && id != ids[SAVED])
    return EPERM;
  if (may)
    ids[REAL] = ids[SAVED] = id;
  ids[EFFECTIVE] = ids[FILES] = id;
  return 0;
}

static int
set_real_effective (uint32_t ids[4], uint32_t real, uint32_t effective, bool may)
{
  uint32_t before = ids[REAL];
  if (!may && ((real != UNCHANGED && !is_one_of (real, ids, 2)) || (effective != UNCHANGED && !is_one_of (effective, ids, 3))))
    return EPERM;
  if (real != UNCHANGED)
    ids[REAL] = real;
  if (effective != UNCHANGED)
    ids[EFFECTIVE] = effective;
  if (real != UNCHANGED || (effective != UNCHANGED && effective != before))
    ids[SAVED] = ids[EFFECTIVE];
  ids[FILES] = ids[EFFECTIVE];
  return 0;
}

static int
set_all (uint32_t ids[4], const uint32_t wanted[3], bool may)
{
  for (int i = 0; i < 3; i++)
    if (!may && wanted[i] != UNCHANGED && !is_one_of (wanted[i], ids, 3))
      return EPERM;
  for (int i = 0; i < 3; i++)
    if (wanted[i] != UNCHANGED)
      ids[i] = wanted[i];
  ids[FILES] = ids[EFFECTIVE];
  return 0;
}

bool
is_change_of_identity (long call)
{
  return call == SYS_setuid || call == SYS_setgid || call == SYS_setreuid || call == SYS_setregid || call == SYS_setresuid
         || call == SYS_setresgid || call == SYS_setfsuid || call == SYS_setfsgid || call == SYS_setgroups;
}

static int
by_number (const void *one, const void *other)
{
  uint32_t a = *(const uint32_t *) one, b = *(const uint32_t *) other;
  return a < b ? -1 : a > b;
}

static struct answer
change_groups (pid_t pid, struct identity *caller, uint64_t count, uint64_t list)
{
  static uint32_t groups[MAX_GROUPS];
  if (count > MAX_GROUPS)
    return answer_error (EINVAL);
  if (count > 0 && !read_memory (pid, list, groups, count * sizeof *groups))
    return answer_error (EFAULT);
  qsort (groups, count, sizeof *groups, by_number); /* as the kernel tells them */
  caller->groups = groups;
  caller->group_count = (uint32_t) count;
  return become (pid, caller);
}

static struct answer
change_file_id (pid_t pid, struct identity *caller, bool is_user, uint32_t id)
{
  struct identity before = *caller;
  uint32_t *ids = is_user ? caller->uid : caller->gid;
  uint32_t old = ids[FILES];
  if (id != UNCHANGED && (has_capability (caller, is_user ? CAP_SETUID : CAP_SETGID) || is_one_of (id, ids, 4)))
    ids[FILES] = id;
  if (is_user)
    follow_file_user (&before, caller);
  (void) become (pid, caller);
  return answer_value (old);
}

struct answer
change_identity (pid_t pid, long call, const uint64_t arguments[6])
{
  struct identity before = *identity_of (pid), caller = before;
  uint32_t id[3] = { (uint32_t) arguments[0], (uint32_t) arguments[1], (uint32_t) arguments[2] };
  bool is_user = call == SYS_setuid || call == SYS_setreuid || call == SYS_setresuid;
  uint32_t *ids = is_user ? caller.uid : caller.gid;
  bool allowed = has_capability (&caller, is_user ? CAP_SETUID : CAP_SETGID);
  int error = 0;
  if (call == SYS_setgroups)
    return allowed ? change_groups (pid, &caller, arguments[0], arguments[1]) : answer_error (EPERM);
  if (call == SYS_setfsuid || call == SYS_setfsgid)
    return change_file_id (pid, &caller, call == SYS_setfsuid, id[0]);
  if (call == SYS_setuid || call == SYS_setgid)
    error = id[0] == UNCHANGED ? EINVAL : set_one (ids, id[0], allowed);
  else if (call == SYS_setreuid || call == SYS_setregid)
    error = set_real_effective (ids, id[0], id[1], allowed);
  else
    error = set_all (ids, id, allowed);
  if (error != 0)
    return answer_error (error);
  if (is_user)
    follow_user (&before, &caller);
  return become (pid, &caller);
}

bool
is_question_of_identity (long call)
{
  return call == SYS_getuid || call == SYS_geteuid || call == SYS_getgid || call == SYS_getegid || call == SYS_getresuid
         || call == SYS_getresgid || call == SYS_getgroups;
}

struct answer
tell_identity (pid_t pid, long call, const uint64_t arguments[6])
{
  const struct identity *caller = identity_of (pid);
  if (call == SYS_getuid)
    return answer_value (caller->uid[REAL]);
  if (call == SYS_geteuid)
    return answer_value (caller->uid[EFFECTIVE]);
  if (call == SYS_getgid)
    return answer_value (caller->gid[REAL]);
  if (call == SYS_getegid)
    return answer_value (caller->gid[EFFECTIVE]);
  if (call == SYS_getgroups)
    {
      if (arguments[0] != 0 && arguments[0] < caller->group_count)
        return answer_error (EINVAL);
      if (arguments[0] != 0 && caller->group_count > 0
          && !write_memory (pid, arguments[1], caller->groups, caller->group_count * sizeof *caller->groups))
        return answer_error (EFAULT);
      return answer_value ((int64_t) caller->group_count);
    }
  const uint32_t *ids = call == SYS_getresuid ? caller->uid : caller->gid;
  for (int i = 0; i < 3; i++)
    if (!write_memory (pid, arguments[i], &ids[i], sizeof ids[i]))
      return answer_error (EFAULT);
  return answer_value (0);
}
