/* Installs the filter the driver compiled, and tries it. */
#include "pretend/pretend.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

enum { MAX_INSTRUCTIONS = 4096 };

#ifndef SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV
#define SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV (1UL << 5)
#endif

/* A filter that stops calls gives us a descriptor to answer them by. A call that was received must not start again at the
 * next signal, or a file would be made twice: that flag is of Linux 5.19. */
static long
install (const struct plan *plan, const struct sock_fprog *program)
{
  unsigned long flags = SECCOMP_FILTER_FLAG_SPEC_ALLOW;
  if (!has_listener (plan))
    return syscall (SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, program);
  flags |= SECCOMP_FILTER_FLAG_NEW_LISTENER;
  long listener = syscall (SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags | SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV, program);
  if (listener < 0 && errno == EINVAL)
    listener = syscall (SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, program);
  if (listener >= 0)
    hand_listener_over ((int) listener, plan->listener_socket);
  return listener;
}

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
  if (install (plan, &program) < 0)
    die_errno ("cannot install the system call filter");

  if (plan->seccomp_probe < 0)
    return;
  errno = 0;
  if (syscall (plan->seccomp_probe, -1L, 0L, 0L, 0L, 0L, 0L) != -1 || errno != EPERM)
    die_errno ("the system call filter lets call %ld through", plan->seccomp_probe);
}
