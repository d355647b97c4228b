/* The last steps before the command runs, in the order in which privileges are still there to take them. */
#include "runtime.h"

#include "kernel.h"
#include "terminal.h"
#include <errno.h>
#include <grp.h>
#include <linux/keyctl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>

#ifndef CLOSE_RANGE_CLOEXEC
#define CLOSE_RANGE_CLOEXEC 4
#endif

/* The command's ends of the pipes belong to its user, so that a program which opens /dev/stdout (a link to
 * /proc/self/fd/1) is let in. */
static void
connect_pipes (const struct plan *plan, const int streams[3])
{
  for (int i = 0; i < 3; i++)
    if (streams[i] >= 0 && (fchown (streams[i], plan->uid, plan->gid) < 0 || dup2 (streams[i], i) < 0))
      die_errno ("cannot connect the command's standard streams");
}

static void
take_empty_input (void)
{
  cleanup_fd int input = open ("/dev/null", O_RDONLY | O_CLOEXEC);
  if (input < 0 || dup2 (input, STDIN_FILENO) < 0)
    die_errno ("cannot open /dev/null for the command's input");
}

/* Closes the outputs. They may share one descriptor, and a number that is
 * closed twice may belong to another file by then. */
void
close_streams (const int streams[3])
{
  for (int i = 0; i < 3; i++)
    if (streams[i] >= 0 && (i != STDERR_FILENO || streams[i] != streams[STDOUT_FILENO]))
      (void) close (streams[i]);
}

static const char *
limit_name (int resource)
{
  static const char *const names[] = { "cpu",     "fsize", "data",  "stack",      "core",     "rss",  "nproc",  "nofile",
                                       "memlock", "as",    "locks", "sigpending", "msgqueue", "nice", "rtprio", "rttime" };
  return (size_t) resource < sizeof names / sizeof *names ? names[resource] : "of an unknown number";
}

/* Sets limits. Where ids are pretended this limit holds a process's identity
 * (pretend/holders.c), and at its end, that of the step's USER. */
static void
open_limit_of_locks (void)
{
  struct rlimit limit;
  if (getrlimit (RLIMIT_LOCKS, &limit) < 0)
    die_errno ("cannot read the limit locks");
  limit.rlim_cur = limit.rlim_max;
  if (setrlimit (RLIMIT_LOCKS, &limit) < 0)
    die_errno ("cannot open the limit locks");
}

static void
set_limits (const struct plan *plan)
{
  if (plan->owner_records != NULL)
    open_limit_of_locks ();
  for (size_t i = 0; i < plan->limit_count; i++)
    {
      if (plan->owner_records != NULL && plan->limits[i].resource == RLIMIT_LOCKS)
        continue;
      struct rlimit limit = { .rlim_cur = plan->limits[i].soft, .rlim_max = plan->limits[i].hard };
      if (setrlimit ((__rlimit_resource_t) plan->limits[i].resource, &limit) < 0)
        die_errno ("cannot set the limit %s", limit_name (plan->limits[i].resource));
    }
}

/* Makes a session keyring, so that the keys of kiln's own user cannot be
 * reached. Not every kernel has keys, and a full quota is no reason to
 * refuse: the filter denies the calls that would use them. */
static void
leave_keyring (void)
{
  (void) syscall (SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, NULL);
}

/* Our descriptors lead to the host: its cgroup tree, trees of which only a part is mounted. They are closed before any path
 * of the image's is opened, so that no path can lead to one of them. The one for failures of ours is closed by exec. */
static void
close_descriptors (const struct plan *plan)
{
  unsigned int kept = has_listener (plan) ? (unsigned int) plan->listener_socket : CONTROL_FD;
  if (plan->owner_records != NULL)
    return;
  if ((kept > CONTROL_FD + 1 && syscall (SYS_close_range, CONTROL_FD + 1, kept - 1, 0) < 0)
      || syscall (SYS_close_range, kept + 1, ~0U, 0) < 0)
    die_errno ("cannot close the runtime's descriptors (needs Linux 5.9)");
}

/* The directory was looked at when it was made, but a volume may be shared with a hostile step that runs beside this one:
 * what was a directory then may be a link to /proc/self/fd/<n> now (the class of CVE-2024-21626). */
static void
enter_working_directory (const struct plan *plan)
{
  cleanup_fd int directory = plan->chroot != NULL ? open (plan->cwd, O_PATH | O_DIRECTORY | O_CLOEXEC)
                                                  : open_in_root (AT_FDCWD, plan->cwd, O_PATH | O_DIRECTORY, 0);
  if (directory < 0 || fchdir (directory) < 0)
    die_errno ("cannot enter the working directory %s", plan->cwd);
}

static void
become_user (const struct plan *plan)
{
  if (plan->uid == (uid_t) -1 || plan->gid == (gid_t) -1)
    die ("the largest id cannot be a user's: to the kernel it means \"as before\"");
  /* There is one id, and it is the user's: where it is not called 0, the step's own namespace calls it so. */
  if (plan->owner_records != NULL)
    return;
  if (plan->uid != 0 && plan->permitted != 0 && prctl (PR_SET_KEEPCAPS, 1, 0, 0, 0) < 0)
    die_errno ("cannot keep capabilities across the change of user");
  if (!plan->keep_groups && setgroups (plan->group_count, plan->groups) < 0)
    die_errno ("cannot set the supplementary groups (is setgroups denied in this user namespace?)");
  if (setresgid (plan->gid, plan->gid, plan->gid) < 0)
    die_errno ("cannot become group %u (is it mapped in this user namespace?)", plan->gid);
  if (setresuid (plan->uid, plan->uid, plan->uid) < 0)
    die_errno ("cannot become user %u (is it mapped in this user namespace?)", plan->uid);
}

static void
default_signals (void)
{
  sigset_t none;
  struct sigaction standard = { .sa_handler = SIG_DFL };
  for (int number = 1; number < NSIG; number++)
    (void) sigaction (number, &standard, NULL);
  (void) sigemptyset (&none);
  (void) sigprocmask (SIG_SETMASK, &none, NULL);
}

static const char *
search_path (const struct plan *plan)
{
  for (const char **entry = plan->env; *entry != NULL; entry++)
    if (strncmp (*entry, "PATH=", 5) == 0)
      return *entry + 5;
  return "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
}

static void
try_exec (const struct plan *plan, const char *path)
{
  (void) execve (path, (char *const *) (uintptr_t) plan->argv, (char *const *) (uintptr_t) plan->env);
}

/* The names of PATH are the container's: we are inside by now. An entry that may not be run is remembered in `tried`, as shells
 * do, so that "permission denied" is said instead of "not found". */
static int
exec_by_path (const struct plan *plan, char tried[4096])
{
  int error = ENOENT;
  *tried = '\0';
  const char *directory = search_path (plan);
  for (;;)
    {
      char path[4096];
      size_t length = strcspn (directory, ":");
      int n = snprintf (path, sizeof path, "%.*s/%s", (int) length, length == 0 ? "." : directory, plan->argv[0]);
      struct stat status;
      if (n > 0 && (size_t) n < sizeof path && stat (path, &status) == 0 && S_ISREG (status.st_mode))
        {
          try_exec (plan, path);
          if (errno != ENOTDIR && (errno != ENOENT || *tried == '\0'))
            {
              error = errno;
              (void) strcpy (tried, path);
            }
          if (errno != EACCES && errno != ENOENT && errno != ENOTDIR)
            return error;
        }
      if (directory[length] == '\0')
        return error;
      directory += length + 1;
    }
}

void
run_command (const struct plan *plan, const int streams[3], int terminal)
{
  if (setsid () < 0)
    die_errno ("cannot start a session for the command");
  if (terminal >= 0)
    take_terminal (terminal);
  else if (streams[STDIN_FILENO] < 0)
    take_empty_input ();
  connect_pipes (plan, streams);
  (void) umask (022);
  set_limits (plan);
  leave_keyring ();
  close_descriptors (plan);
  enter_working_directory (plan);
  limit_bounding_set (plan->bounding);
  if (plan->seccomp != NULL)
    install_seccomp (plan);
  become_user (plan);
  set_capabilities (plan);
  if (plan->no_new_privileges && prctl (PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
    die_errno ("cannot set no_new_privs");

  default_signals ();
  if (syscall (SYS_close_range, STDERR_FILENO + 1, ~0U, CLOSE_RANGE_CLOEXEC) < 0)
    die_errno ("cannot close the runtime's descriptors (needs Linux 5.11)");

  if (strchr (plan->argv[0], '/') != NULL)
    {
      try_exec (plan, plan->argv[0]);
      explain (plan->argv[0], plan->argv[0], errno);
    }
  char tried[4096];
  int error = exec_by_path (plan, tried);
  explain (plan->argv[0], *tried == '\0' ? NULL : tried, error);
}
