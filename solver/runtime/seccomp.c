/* Installs the filter the driver compiled, and tries it. */
#include "runtime.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

enum { MAX_INSTRUCTIONS = 4096 };

/* Needs CAP_SYS_ADMIN in the user namespace, or no_new_privs: the caller still holds one of them. SPEC_ALLOW keeps the
 * processor's speculation as fast as without a filter, which is also what the container engines do. */
void
install_seccomp (const struct plan *plan)
{
  size_t count = plan->seccomp_size / sizeof (struct sock_filter);
  if (plan->seccomp_size % sizeof (struct sock_filter) != 0 || count == 0 || count > MAX_INSTRUCTIONS)
    die ("the seccomp program has an impossible size of %zu bytes", plan->seccomp_size);

  /* The plan is a byte string; the kernel copies from any address, aligned or not. */
  struct sock_fprog program = { .len = (unsigned short) count,
                                .filter = (struct sock_filter *) (uintptr_t) plan->seccomp };
  if (syscall (SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_SPEC_ALLOW, &program) < 0)
    die_errno ("cannot install the system call filter");

  if (plan->seccomp_probe < 0)
    return;
  errno = 0;
  if (syscall (plan->seccomp_probe, -1L, 0L, 0L, 0L, 0L, 0L) != -1 || errno != EPERM)
    die_errno ("the system call filter lets call %ld through", plan->seccomp_probe);
}
