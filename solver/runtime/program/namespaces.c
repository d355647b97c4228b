/* The birth of PID 1: its namespaces, its cgroups, the ids it may use. */
#include "runtime.h"

#include "kernel.h"
#include <errno.h>
#include <linux/nsfs.h>
#include <linux/sched.h>
#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#ifndef CLONE_INTO_CGROUP
#define CLONE_INTO_CGROUP 0x200000000ULL
#endif

/* Calls clone. Engines' filters cannot read the flags of clone3 and hide it
 * (ENOSYS) where they allow clone. */
static pid_t
clone_without_cgroup (uint64_t flags, int cgroup_fd)
{
  pid_t child = (pid_t) syscall (SYS_clone, (unsigned long) flags | SIGCHLD, NULL, NULL, NULL, 0UL);
  if (child != 0 || cgroup_fd < 0)
    return child;
  cleanup_fd int processes = openat (cgroup_fd, "cgroup.procs", O_WRONLY | O_CLOEXEC);
  if (processes < 0 || write (processes, "0", 1) < 0)
    die_errno ("cannot move the container into its cgroup");
  return child;
}

/* fork with namespaces. With `cgroup_fd` >= 0 the child is born in that cgroup (v2, Linux 5.7): no move, and so none of
 * the waiting for every other processor that a move costs. */
pid_t
clone_into (uint64_t flags, int cgroup_fd)
{
  struct clone_args arguments = { .flags = flags, .exit_signal = SIGCHLD };
  if (cgroup_fd >= 0)
    {
      arguments.flags |= CLONE_INTO_CGROUP;
      arguments.cgroup = (unsigned int) cgroup_fd;
    }
  pid_t child = (pid_t) syscall (SYS_clone3, &arguments, sizeof arguments);
  return child < 0 && errno == ENOSYS ? clone_without_cgroup (flags, cgroup_fd) : child;
}

static void
write_proc_file (pid_t pid, const char *name, const char *text)
{
  char path[64];
  (void) snprintf (path, sizeof path, "/proc/%d/%s", (int) pid, name);
  cleanup_fd int fd = open (path, O_WRONLY | O_CLOEXEC);
  /* The kernel takes a map in a single write only. */
  if (fd < 0 || write (fd, text, strlen (text)) < 0)
    die_errno ("cannot set %s of the container", name);
}

/* Writes a map. CAP_SETUID in the parent namespace allows any map; without
 * it only one line that maps one's own id is allowed, and setgroups must be
 * given up first. */
void
write_id_maps (const struct plan *plan, pid_t pid)
{
  if (plan->deny_setgroups)
    write_proc_file (pid, "setgroups", "deny");
  write_proc_file (pid, "uid_map", plan->uid_map);
  write_proc_file (pid, "gid_map", plan->gid_map);
}

void
join_cgroups (const struct plan *plan, pid_t pid)
{
  char text[24];
  int size = snprintf (text, sizeof text, "%d", (int) pid);
  for (size_t i = 0; i < plan->cgroup_procs_count; i++)
    {
      cleanup_fd int fd = open (plan->cgroup_procs[i], O_WRONLY | O_CLOEXEC);
      if (fd < 0 || write (fd, text, (size_t) size) < 0)
        die_errno ("cannot put the container into %s", plan->cgroup_procs[i]);
    }
}

/* A new network namespace starts with `lo` down; programs expect 127.0.0.1 to answer. */
void
bring_loopback_up (void)
{
  struct ifreq request = { .ifr_name = "lo" };
  cleanup_fd int fd = socket (AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0 || ioctl (fd, SIOCGIFFLAGS, &request) < 0)
    die_errno ("cannot look at the loopback interface");
  request.ifr_flags = (short) (request.ifr_flags | IFF_UP);
  if (ioctl (fd, SIOCSIFFLAGS, &request) < 0)
    die_errno ("cannot bring the loopback interface up");
}

/* Returns true if /proc shows the processes of our PID namespace: then their numbers are those that the kernel tells us. */
static bool
proc_is_ours (void)
{
  char text[24];
  ssize_t n = readlink ("/proc/self", text, sizeof text - 1);
  if (n <= 0)
    return true;
  text[n] = '\0';
  return strtol (text, NULL, 10) == getpid ();
}

/* Leaves a mount namespace that belongs to another user namespace, such as
 * `unshare --map-root-user` leaves one in: nothing may be mounted there, but
 * root of a user namespace may have one of its own. The kernel does not name
 * the owner of a namespace that is outside of ours (EPERM). The same for a
 * /proc of another PID namespace (`unshare --pid`), in which we would take
 * one process for another. Where it is refused, the first mount tells. */
void
have_own_mounts (void)
{
  cleanup_fd int mounts = open ("/proc/self/ns/mnt", O_RDONLY | O_CLOEXEC);
  cleanup_fd int owner = mounts < 0 ? -1 : ioctl (mounts, NS_GET_USERNS);
  bool foreign = mounts >= 0 && owner < 0 && errno == EPERM;
  bool ours = proc_is_ours ();
  if ((!foreign && ours) || unshare (CLONE_NEWNS) < 0 || ours)
    return;
  if (sys_mount (NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0)
    (void) sys_mount ("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL);
}
