/* Access to device nodes for a command. The deciding program comes with the
 * plan and is attached to the cgroup in which PID 1 is born, so it holds for
 * everything inside from the first instruction on. With it the mounts of the
 * step allow device nodes; without it, whatever the kernel's reason to
 * refuse, they all get `nodev`. */
#include "runtime.h"

#include "kernel.h"
#include <errno.h>
#include <linux/bpf.h>
#include <string.h>

/* Needs CAP_BPF and CAP_NET_ADMIN, or CAP_SYS_ADMIN, over the machine. ALLOW_MULTI: the programs of the groups above keep
 * their say, and a device is let in only by all of them. */
static bool
attach_program (const struct plan *plan, int cgroup_fd)
{
  union bpf_attr load = { 0 }, attach = { 0 };
  static char licence[] = "MIT";

  load.prog_type = BPF_PROG_TYPE_CGROUP_DEVICE;
  load.expected_attach_type = BPF_CGROUP_DEVICE;
  load.insns = (uintptr_t) plan->device_filter;
  load.insn_cnt = (uint32_t) (plan->device_filter_size / sizeof (struct bpf_insn));
  load.license = (uintptr_t) licence;
  cleanup_fd int program = (int) syscall (SYS_bpf, BPF_PROG_LOAD, &load, sizeof load);
  if (program < 0)
    return false;
  (void) fcntl (program, F_SETFD, FD_CLOEXEC);

  attach.target_fd = (uint32_t) cgroup_fd;
  attach.attach_bpf_fd = (uint32_t) program;
  attach.attach_type = BPF_CGROUP_DEVICE;
  attach.attach_flags = BPF_F_ALLOW_MULTI;
  return syscall (SYS_bpf, BPF_PROG_ATTACH, &attach, sizeof attach) == 0;
}

static void
settle (uint64_t *attributes, bool filtered)
{
  if ((*attributes & ATTR_NODEV_UNLESS_FILTERED) == 0)
    return;
  *attributes &= ~ATTR_NODEV_UNLESS_FILTERED;
  if (!filtered)
    *attributes |= MOUNT_ATTR_NODEV;
}

void
settle_devices (struct plan *plan, int cgroup_fd)
{
  bool filtered = plan->device_filter != NULL && cgroup_fd >= 0 && attach_program (plan, cgroup_fd);
  for (size_t i = 0; i < plan->tree_count; i++)
    settle (&plan->trees[i]->attributes, filtered);
  for (size_t i = 0; i < plan->step_count; i++)
    settle (&plan->steps[i].attributes, filtered);
}
