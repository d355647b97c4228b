/* `kiln-runtime enter PROGRAM [ARGUMENT...]`: runs the program as root of a
 * new user namespace, for plain users. With subordinate ids (/etc/subuid and
 * the setuid helpers newuidmap and newgidmap) all ids of an image exist in
 * it; without them only one. Root of a container with the right to change
 * ids but not to mount gets a namespace with its own ids. It happens before
 * kiln's Node starts, because a process with threads cannot enter a
 * namespace. A process that has all rights of a step stays outside, and so
 * does one that may not make a namespace: most commands work without, RUN reports the
 * missing right, and `kiln doctor` tells how to get it. */
#include "runtime.h"

#include "kernel.h"
#include <errno.h>
#include <linux/capability.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

enum { LINE = 512, ID_TEXT = 16 };

struct range
{
  char first[ID_TEXT], count[ID_TEXT];
};

/* There is no driver yet to report to: this half of the program talks to a person. */
static void __attribute__ ((format (printf, 1, 2), noreturn))
fail (const char *format, ...)
{
  int error = errno;
  va_list arguments;
  va_start (arguments, format);
  (void) fputs ("kiln: ", stderr);
  (void) vfprintf (stderr, format, arguments);
  (void) fprintf (stderr, ": %s\n", strerror (error));
  va_end (arguments);
  _exit (STATUS_FAILED);
}

/* The login name of `uid` by /etc/passwd alone: a static program cannot ask the name services. */
static bool
find_name (uid_t uid, char name[LINE])
{
  FILE *file = fopen ("/etc/passwd", "re");
  char line[LINE];
  bool found = false;
  if (file == NULL)
    return false;
  while (!found && fgets (line, sizeof line, file) != NULL)
    {
      unsigned int id;
      if (sscanf (line, "%511[^:]:%*[^:]:%u:", name, &id) == 2 && id == uid)
        found = true;
    }
  (void) fclose (file);
  return found;
}

/* The first range that /etc/subuid or /etc/subgid grants, by name or by number. */
static bool
find_range (const char *path, uid_t uid, const char *name, struct range *range)
{
  FILE *file = fopen (path, "re");
  char line[LINE], owner[LINE], number[ID_TEXT];
  bool found = false;
  if (file == NULL)
    return false;
  (void) snprintf (number, sizeof number, "%u", uid);
  while (!found && fgets (line, sizeof line, file) != NULL)
    if (sscanf (line, "%511[^:]:%15[0-9]:%15[0-9]", owner, range->first, range->count) == 3)
      found = strcmp (owner, number) == 0 || strcmp (owner, name) == 0;
  (void) fclose (file);
  return found;
}

static bool
run_helper (const char *helper, pid_t target, unsigned int own, const struct range *range)
{
  char pid[ID_TEXT], id[ID_TEXT];
  int status;
  (void) snprintf (pid, sizeof pid, "%d", (int) target);
  (void) snprintf (id, sizeof id, "%u", own);
  pid_t child = fork ();
  if (child == 0)
    {
      (void) execlp (helper, helper, pid, "0", id, "1", "1", range->first, range->count, (char *) NULL);
      _exit (STATUS_NOT_FOUND);
    }
  return child > 0 && waitpid (child, &status, 0) == child && WIFEXITED (status) && WEXITSTATUS (status) == 0;
}

/* Maps every id that exists here to itself: for root with capabilities over
 * ids. */
static bool
map_as_here (pid_t target, const char *map)
{
  char path[LINE], lines[8 * LINE];
  unsigned int first, outside, count;
  size_t used = 0;

  (void) snprintf (path, sizeof path, "/proc/self/%s", map);
  FILE *own = fopen (path, "re");
  if (own == NULL)
    return false;
  while (used < sizeof lines - LINE && fscanf (own, "%u %u %u", &first, &outside, &count) == 3)
    used += (size_t) snprintf (lines + used, LINE, "%u %u %u\n", first, first, count);
  (void) fclose (own);

  (void) snprintf (path, sizeof path, "/proc/%d/%s", (int) target, map);
  cleanup_fd int fd = open (path, O_WRONLY | O_CLOEXEC);
  return fd >= 0 && write (fd, lines, used) == (ssize_t) used;
}

/* The result of the mapping, as the process outside reports it. */
enum mapping { MAPPED, NOT_MAPPED, HALF_MAPPED };

/* Runs in the old namespace, where the helpers have their privilege. */
static enum mapping
map_from_outside (pid_t target, uid_t uid, gid_t gid)
{
  char name[LINE] = "";
  struct range uids, gids;
  if (uid == 0 && map_as_here (target, "uid_map"))
    return map_as_here (target, "gid_map") ? MAPPED : HALF_MAPPED;
  (void) find_name (uid, name);
  if (!find_range ("/etc/subuid", uid, name, &uids) || !find_range ("/etc/subgid", uid, name, &gids))
    return NOT_MAPPED;
  if (!run_helper ("newuidmap", target, uid, &uids))
    return NOT_MAPPED;
  return run_helper ("newgidmap", target, gid, &gids) ? MAPPED : HALF_MAPPED;
}

static bool
write_own (const char *path, const char *text)
{
  cleanup_fd int fd = open (path, O_WRONLY | O_CLOEXEC);
  return fd >= 0 && write (fd, text, strlen (text)) == (ssize_t) strlen (text);
}

/* One id needs no helper, but giving up setgroups (Linux 3.19). */
static bool
map_single_id (uid_t uid, gid_t gid)
{
  char map[LINE];
  if (!write_own ("/proc/self/setgroups", "deny"))
    return false;
  (void) snprintf (map, sizeof map, "0 %u 1", uid);
  if (!write_own ("/proc/self/uid_map", map))
    return false;
  (void) snprintf (map, sizeof map, "0 %u 1", gid);
  return write_own ("/proc/self/gid_map", map);
}

/* The process that stays outside of the new namespace, and the pipes to and from it. */
struct outside
{
  pid_t pid;
  int orders, answers;
};
enum { ORDER_MAP = 'm', ORDER_RUN = 'r' };

/* Maps ids on request, or runs the program where the namespace turned out to
 * be useless: the process that entered it cannot return. Ends when no more
 * requests come. */
static void __attribute__ ((noreturn))
stand_outside (const struct outside *self, char **argv)
{
  pid_t insider = getppid ();
  uid_t uid = geteuid ();
  gid_t gid = getegid ();
  char order;
  while (read (self->orders, &order, 1) == 1)
    {
      if (order == ORDER_RUN)
        {
          (void) prctl (PR_SET_PDEATHSIG, SIGKILL);
          (void) execvp (argv[0], argv);
          fail ("cannot run %s", argv[0]);
        }
      char answer = (char) map_from_outside (insider, uid, gid);
      (void) write_all (self->answers, &answer, 1);
    }
  _exit (0);
}

static struct outside
leave_somebody_outside (char **argv)
{
  int orders[2], answers[2];
  if (pipe2 (orders, O_CLOEXEC) < 0 || pipe2 (answers, O_CLOEXEC) < 0)
    fail ("cannot make a pipe");
  pid_t pid = fork ();
  if (pid < 0)
    fail ("cannot start a process");
  struct outside outside = { .pid = pid, .orders = orders[pid == 0 ? 0 : 1], .answers = answers[pid == 0 ? 1 : 0] };
  (void) close (orders[pid == 0 ? 1 : 0]);
  (void) close (answers[pid == 0 ? 0 : 1]);
  if (pid == 0)
    stand_outside (&outside, argv);
  return outside;
}

static bool
map_ids (const struct outside *outside, uid_t uid, gid_t gid)
{
  char order = ORDER_MAP, answer;
  if (!write_all (outside->orders, &order, 1) || read (outside->answers, &answer, 1) != 1)
    return false;
  return answer == MAPPED || (answer == NOT_MAPPED && map_single_id (uid, gid));
}

/* The first things that every step needs of the namespace. An engine's filter or AppArmor may allow the one and not the other. */
static bool
can_mount (void)
{
  if (sys_mount (NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
    return false;
  cleanup_fd int context = sys_fsopen ("tmpfs");
  return context >= 0;
}

/* Passes signals on to the program and ends as it ends. What a terminal sends reaches the whole group by itself. */
static void __attribute__ ((noreturn))
stand_for (pid_t program)
{
  sigset_t all;
  (void) sigfillset (&all);
  (void) sigprocmask (SIG_SETMASK, &all, NULL);
  for (;;)
    {
      siginfo_t info;
      int status, number = sigwaitinfo (&all, &info);
      if (number > 0 && number != SIGCHLD && info.si_code <= 0)
        (void) kill (program, number);
      if (number != SIGCHLD || waitpid (program, &status, WNOHANG) != program)
        continue;
      if (WIFEXITED (status))
        _exit (WEXITSTATUS (status));
      (void) signal (WTERMSIG (status), SIG_DFL);
      (void) sigemptyset (&all);
      (void) sigprocmask (SIG_SETMASK, &all, NULL);
      (void) raise (WTERMSIG (status));
      _exit (128 + WTERMSIG (status));
    }
}

/* Capabilities that every step needs in its own namespace; bin/kiln asks for the same. */
static bool
may_stay_outside (void)
{
  static const uint32_t needed = 1U << CAP_SYS_ADMIN | 1U << CAP_SETPCAP | 1U << CAP_SETUID | 1U << CAP_SETGID
                                 | 1U << CAP_FOWNER | 1U << CAP_DAC_OVERRIDE | 1U << CAP_CHOWN;
  struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
  struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = { 0 };
  return syscall (SYS_capget, &header, data) == 0 && (data[0].effective & needed) == needed;
}

/* Returns in the process that is to run the program: in the namespace, or as before where the kernel or its policy does not let
 * this user have one. */
static void
become_root_of_namespace (char **argv)
{
  uid_t uid = geteuid ();
  gid_t gid = getegid ();
  struct outside outside = leave_somebody_outside (argv);
  bool made = unshare (CLONE_NEWUSER | CLONE_NEWNS) == 0;
  bool useful = made && map_ids (&outside, uid, gid) && setresgid (0, 0, 0) == 0 && setresuid (0, 0, 0) == 0 && can_mount ();
  char order = ORDER_RUN;
  if (made && !useful && write_all (outside.orders, &order, 1))
    stand_for (outside.pid);
  (void) close (outside.orders);
  (void) close (outside.answers);
  (void) waitpid (outside.pid, NULL, 0);
}

void
enter_user_namespace (char **argv)
{
  if (!may_stay_outside ())
    become_root_of_namespace (argv);
  (void) execvp (argv[0], argv);
  fail ("cannot run %s", argv[0]);
}
