/* Capabilities, by plain system calls: libcap would be the only library we need. */
#include "runtime.h"

#include <errno.h>
#include <linux/capability.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

/* Limits the bounding set: no later exec can bring a dropped capability
 * back, not even setuid or file capabilities. Needs CAP_SETPCAP, so it comes
 * before the others are dropped. Without it no_new_privs does the same: no
 * exec gives more than is permitted already. */
void
limit_bounding_set (uint64_t bounding)
{
  for (int capability = 0; capability < 64; capability++)
    {
      int held = prctl (PR_CAPBSET_READ, capability, 0, 0, 0);
      if (held < 0)
        return; /* EINVAL: past the last capability of this kernel */
      if (held == 1 && (bounding >> capability & 1) == 0 && prctl (PR_CAPBSET_DROP, capability, 0, 0, 0) < 0
          && (errno != EPERM || prctl (PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 1))
        die_errno ("cannot drop capability %d from the bounding set", capability);
    }
}

/* Sets the other sets, after the change of identity, so that exactly the
 * requested ones remain. */
void
set_capabilities (const struct plan *plan)
{
  struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
  struct __user_cap_data_struct data[2];
  for (int word = 0; word < 2; word++)
    {
      data[word].permitted = (uint32_t) (plan->permitted >> (32 * word));
      data[word].effective = (uint32_t) (plan->effective >> (32 * word));
      data[word].inheritable = (uint32_t) (plan->inheritable >> (32 * word));
    }
  if (syscall (SYS_capset, &header, data) < 0)
    die_errno ("cannot set the command's capabilities");

  if (prctl (PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0 && errno != EINVAL)
    die_errno ("cannot clear the ambient capabilities");
  for (int capability = 0; capability < 64; capability++)
    if ((plan->ambient >> capability & 1) != 0 && prctl (PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, capability, 0, 0) < 0)
      die_errno ("cannot make capability %d ambient", capability);
}
