/* Who each process believes to be. The kernel has one id for all of them, so what set*id calls ask for is remembered
 * here, and the get*id calls are answered from it.
 *
 * Which identity a process has is kept by the kernel after all: as the number of an entry of our table, in the process's
 * soft RLIMIT_LOCKS. Linux has not looked at that limit since 2.6, fork and exec pass it on without our having to
 * see them, and it can be read and set from outside. A process that changes it deceives nobody but itself: no identity
 * here carries any right. */
#include "pretend.h"

#include <errno.h>
#include <sys/resource.h>
#include <sys/syscall.h>

enum { MAX_IDENTITIES = 1024 };
#define UNCHANGED UINT32_MAX

static struct identity identities[MAX_IDENTITIES]; /* the first is the step's USER */
static size_t identity_count;

void
first_identity (const struct plan *plan)
{
  for (int i = 0; i < 4; i++)
    {
      identities->uid[i] = plan->uid;
      identities->gid[i] = plan->gid;
    }
  for (size_t i = 0; i < plan->group_count && i < MAX_GROUPS; i++)
    identities->groups[identities->group_count++] = plan->groups[i];
  identity_count = 1;
}

static size_t
number_of (pid_t pid)
{
  struct rlimit limit;
  if (prlimit (pid, RLIMIT_LOCKS, NULL, &limit) < 0 || limit.rlim_cur >= identity_count)
    return 0;
  return limit.rlim_cur;
}

const struct identity *
identity_of (pid_t pid)
{
  return &identities[number_of (pid)];
}

bool
is_first_identity (pid_t pid)
{
  return number_of (pid) == 0;
}

bool
is_in_group (const struct identity *who, uint32_t gid)
{
  if (who->gid[FILES] == gid)
    return true;
  for (size_t i = 0; i < who->group_count; i++)
    if (who->groups[i] == gid)
      return true;
  return false;
}

static struct answer
become (pid_t pid, const struct identity *who)
{
  size_t number = 0;
  while (number < identity_count && memcmp (&identities[number], who, sizeof *who) != 0)
    number++;
  if (number == identity_count)
    {
      if (identity_count == MAX_IDENTITIES)
        return answer_error (EAGAIN);
      identities[identity_count++] = *who;
    }
  struct rlimit limit;
  if (prlimit (pid, RLIMIT_LOCKS, NULL, &limit) < 0)
    return answer_error (EPERM);
  limit.rlim_cur = number == 0 ? limit.rlim_max : number;
  return prlimit (pid, RLIMIT_LOCKS, &limit, NULL) < 0 ? answer_error (EPERM) : answer_value (0);
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

static struct answer
change_groups (pid_t pid, struct identity *who, uint64_t count, uint64_t list)
{
  if (count > MAX_GROUPS)
    return answer_error (EINVAL);
  memset (who->groups, 0, sizeof who->groups);
  who->group_count = count;
  if (count > 0 && !read_memory (pid, list, who->groups, count * sizeof *who->groups))
    return answer_error (EFAULT);
  return become (pid, who);
}

struct answer
change_identity (pid_t pid, long call, const uint64_t arguments[6])
{
  struct identity who = *identity_of (pid);
  uint32_t id[3] = { (uint32_t) arguments[0], (uint32_t) arguments[1], (uint32_t) arguments[2] };
  bool may = who.uid[EFFECTIVE] == 0;
  int error = 0;
  if (call == SYS_setgroups)
    return may ? change_groups (pid, &who, arguments[0], arguments[1]) : answer_error (EPERM);
  if (call == SYS_setfsuid || call == SYS_setfsgid)
    {
      uint32_t *ids = call == SYS_setfsuid ? who.uid : who.gid;
      uint32_t before = ids[FILES];
      if (id[0] != UNCHANGED && (may || is_one_of (id[0], ids, 4)))
        ids[FILES] = id[0];
      (void) become (pid, &who);
      return answer_value (before);
    }
  if (call == SYS_setuid || call == SYS_setgid)
    error = id[0] == UNCHANGED ? EINVAL : set_one (call == SYS_setuid ? who.uid : who.gid, id[0], may);
  else if (call == SYS_setreuid || call == SYS_setregid)
    error = set_real_effective (call == SYS_setreuid ? who.uid : who.gid, id[0], id[1], may);
  else
    error = set_all (call == SYS_setresuid ? who.uid : who.gid, id, may);
  return error != 0 ? answer_error (error) : become (pid, &who);
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
  const struct identity *who = identity_of (pid);
  if (call == SYS_getuid)
    return answer_value (who->uid[REAL]);
  if (call == SYS_geteuid)
    return answer_value (who->uid[EFFECTIVE]);
  if (call == SYS_getgid)
    return answer_value (who->gid[REAL]);
  if (call == SYS_getegid)
    return answer_value (who->gid[EFFECTIVE]);
  if (call == SYS_getgroups)
    {
      if (arguments[0] != 0 && arguments[0] < who->group_count)
        return answer_error (EINVAL);
      if (arguments[0] != 0 && who->group_count > 0
          && !write_memory (pid, arguments[1], who->groups, who->group_count * sizeof *who->groups))
        return answer_error (EFAULT);
      return answer_value ((int64_t) who->group_count);
    }
  const uint32_t *ids = call == SYS_getresuid ? who->uid : who->gid;
  for (int i = 0; i < 3; i++)
    if (!write_memory (pid, arguments[i], &ids[i], sizeof ids[i]))
      return answer_error (EFAULT);
  return answer_value (0);
}
