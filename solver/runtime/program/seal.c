/* Protects our own file on the host from processes inside a container, even
 * through /proc/self/exe of a script that names it as its interpreter (the
 * class of CVE-2019-5736). We run from a read-only clone of our own mount:
 * the target of /proc/<pid>/exe can then be neither written nor chmod'ed by
 * any process. */
#include "runtime.h"

#include "kernel.h"
#include <errno.h>
#include <string.h>

extern char **environ;

/* Replaces the process by itself, run through the read-only clone, and does nothing the second time round. Where
 * cloning is not allowed (no CAP_SYS_ADMIN over the mount namespace) we go on unsealed: the file is then not ours to
 * change either. Needs Linux 5.12. */
void
seal_own_binary (const char *then)
{
  struct mount_attr read_only = { .attr_set = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV };
  /* Processes inside can read this line of PID 1: it names no path of the host. */
  char *sealed[] = { (char *) (uintptr_t) "kiln-init", (char *) (uintptr_t) then, NULL };

  cleanup_fd int fd = sys_open_tree (AT_FDCWD, "/proc/self/exe", OPEN_TREE_CLONE);
  if (fd < 0 || sys_mount_setattr (fd, 0, &read_only) < 0)
    {
      if (errno == EPERM || errno == ENOSYS || errno == EINVAL)
        return;
      die_errno ("cannot make a read-only clone of the runtime's own file");
    }
  (void) syscall (SYS_execveat, fd, "", sealed, environ, AT_EMPTY_PATH);
  die_errno ("cannot run the runtime from its read-only clone");
}
