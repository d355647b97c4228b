/* The limit RLIMIT_LOCKS as the command's processes see it. The true one holds their identities (holders.c); nothing has been
 * limited by it since Linux 2.6, so to remember what was set is all that is to be done. */
#include "pretend.h"

#include <errno.h>
#include <linux/capability.h>
#include <sys/resource.h>
#include <sys/syscall.h>

static struct answer
change (pid_t pid, const struct identity *caller, const struct rlimit *wanted)
{
  struct identity changed = *caller;
  if (wanted->rlim_cur > wanted->rlim_max)
    return answer_error (EINVAL);
  if (wanted->rlim_max > caller->locks_hard && !has_capability (caller, CAP_SYS_RESOURCE))
    return answer_error (EPERM);
  changed.locks_soft = wanted->rlim_cur;
  changed.locks_hard = wanted->rlim_max;
  return become (pid, &changed);
}

struct answer
answer_limit (pid_t pid, long call, const uint64_t a[6])
{
  pid_t target = call == SYS_prlimit64 ? process_called (pid, (int) a[0]) : pid;
  uint64_t wanted_at = call == SYS_prlimit64 ? a[2] : call == SYS_setrlimit ? a[1] : 0;
  uint64_t told_at = call == SYS_prlimit64 ? a[3] : call == SYS_setrlimit ? 0 : a[1];
  struct rlimit wanted, told;
  if (target < 0)
    return answer_error (ESRCH);
  const struct identity *caller = identity_of (target);
  if (wanted_at != 0 && !read_memory (pid, wanted_at, &wanted, sizeof wanted))
    return answer_error (EFAULT);
  told = (struct rlimit){ .rlim_cur = caller->locks_soft, .rlim_max = caller->locks_hard };
  struct answer answer = wanted_at == 0 ? answer_value (0) : change (target, caller, &wanted);
  if (answer.error == 0 && told_at != 0 && !write_memory (pid, told_at, &told, sizeof told))
    return answer_error (EFAULT);
  return answer;
}
