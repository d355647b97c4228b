/* A command in a directory with chroot, for a container that allows no
 * namespace and no mount (an engine's default profile). Its processes are
 * killed when it ends. no_new_privs, the filter and, where the kernel has
 * it, Landlock make up for the weakness of chroot: without CAP_SYS_CHROOT a
 * second chroot is impossible, and Landlock refuses every file that is not
 * below the root, by any path. */
#include "runtime.h"

#include "kernel.h"
#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

/* linux/landlock.h of Linux 6.12; older headers lack the later members, older kernels take a shorter structure. */
struct landlock_ruleset
{
  uint64_t files, network, scoped;
};
struct __attribute__ ((packed)) landlock_beneath
{
  uint64_t allowed;
  int32_t parent;
};
enum { CREATE_RULESET = 444, ADD_RULE = 445, RESTRICT_SELF = 446, RULESET_VERSION = 1, RULE_PATH_BENEATH = 1 };

/* Rights over files by version of Landlock: 13 at first, then refer, truncate and ioctl. */
static uint64_t
rights_of (long version)
{
  int count = version >= 5 ? 16 : version >= 3 ? 15 : version == 2 ? 14 : 13;
  return (1ULL << count) - 1;
}

/* Nothing but what is below the root; from version 6 on no signals and no abstract sockets to processes outside either.
 * A kernel without Landlock leaves chroot alone to it. Needs no_new_privs. */
static void
confine (int root_fd)
{
  long version = syscall (CREATE_RULESET, NULL, 0, RULESET_VERSION);
  if (version < 1)
    return;
  struct landlock_ruleset rules = { .files = rights_of (version), .scoped = version >= 6 ? 3 : 0 };
  size_t size = version >= 6 ? sizeof rules : version >= 4 ? 2 * sizeof rules.files : sizeof rules.files;
  cleanup_fd int ruleset = (int) syscall (CREATE_RULESET, &rules, size, 0);
  struct landlock_beneath beneath = { .allowed = rules.files, .parent = root_fd };
  if (ruleset < 0 || syscall (ADD_RULE, ruleset, RULE_PATH_BENEATH, &beneath, 0) < 0
      || syscall (RESTRICT_SELF, ruleset, 0) < 0)
    die_errno ("cannot confine the command to its root");
}

void
run_chrooted (const struct plan *plan, const int streams[3])
{
  if (prctl (PR_SET_PDEATHSIG, SIGKILL) < 0)
    die_errno ("cannot tie the command to its supervisor");
  cleanup_fd int root = open (plan->chroot, O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (root < 0 || fchdir (root) < 0 || chroot (".") < 0)
    die_errno ("cannot enter %s with chroot", plan->chroot);
  if (prctl (PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
    die_errno ("cannot set no_new_privs");
  confine (root);
  run_command (plan, streams, -1);
}

/* Adopts every orphan as our child. */
void
adopt_orphans (void)
{
  if (prctl (PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) < 0)
    die_errno ("cannot adopt the command's orphans");
  /* We must outlive kiln for the moment that killing them takes. */
  (void) prctl (PR_SET_PDEATHSIG, 0);
}

static pid_t
parent_of (const char *pid)
{
  char path[64], text[512];
  int parent = 0;
  (void) snprintf (path, sizeof path, "/proc/%.20s/stat", pid);
  cleanup_fd int fd = open (path, O_RDONLY | O_CLOEXEC);
  ssize_t n = fd < 0 ? -1 : read (fd, text, sizeof text - 1);
  if (n <= 0)
    return 0;
  text[n] = '\0';
  /* The name in brackets may hold anything, brackets too. */
  const char *name_end = strrchr (text, ')');
  return name_end != NULL && sscanf (name_end, ") %*c %d", &parent) == 1 ? parent : 0;
}

static void
kill_children (void)
{
  DIR *directory = opendir ("/proc");
  struct dirent *entry;
  if (directory == NULL)
    return;
  while ((entry = readdir (directory)) != NULL)
    if (entry->d_name[0] >= '1' && entry->d_name[0] <= '9' && parent_of (entry->d_name) == getpid ())
      (void) kill ((pid_t) strtol (entry->d_name, NULL, 10), SIGKILL);
  (void) closedir (directory);
}

/* Each round kills one generation and makes the next one ours, until there is none. */
void
kill_descendants (void)
{
  do
    kill_children ();
  while (waitpid (-1, NULL, 0) > 0 || errno == EINTR);
}
