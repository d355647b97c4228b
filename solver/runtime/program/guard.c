/* `kiln-runtime guard PROGRAM [ARGUMENT...]`: runs a program of the host,
 * such as git, so that none of its helpers outlives it or kiln. The program
 * is in a PID namespace that dies with its init; where namespaces are not
 * allowed we adopt the orphans and kill them one generation after the other.
 * There may be at most MAX_PROCESSES. */
#include "runtime.h"

#include "kernel.h"
#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>

enum { MAX_PROCESSES = 256, SIGNAL_STATUS = 128 };

static void __attribute__ ((noreturn))
give_up (const char *message)
{
  (void) fprintf (stderr, "kiln: %s\n", message);
  _exit (STATUS_FAILED);
}

static int
exit_status (int status)
{
  return WIFEXITED (status) ? WEXITSTATUS (status) : SIGNAL_STATUS + WTERMSIG (status);
}

/* Runs the program in a session of its own: Ctrl-C is for kiln, and no
 * terminal can be asked for a password. */
static void __attribute__ ((noreturn))
run_program (char **argv, const sigset_t *mask)
{
  (void) prctl (PR_SET_PDEATHSIG, SIGKILL);
  (void) setsid ();
  (void) umask (022);
  (void) sigprocmask (SIG_SETMASK, mask, NULL);
  (void) execvp (argv[0], argv);
  _exit (errno == ENOENT ? STATUS_NOT_FOUND : STATUS_NOT_EXECUTABLE);
}

/* PID 1 of the namespace. Its end is everybody's. */
static void __attribute__ ((noreturn))
run_namespace_init (char **argv, const sigset_t *mask, int guard_fd)
{
  struct pollfd guard = { .fd = guard_fd, .events = POLLIN };
  (void) prctl (PR_SET_PDEATHSIG, SIGKILL);
  /* The guard may have died before that. */
  if (poll (&guard, 1, 0) != 0)
    _exit (STATUS_FAILED);
  pid_t program = fork ();
  if (program == 0)
    run_program (argv, mask);
  if (program < 0)
    give_up ("cannot start a process");
  for (;;)
    {
      int status;
      pid_t ended = waitpid (-1, &status, 0);
      if (ended == program)
        _exit (exit_status (status));
      if (ended < 0 && errno != EINTR)
        _exit (STATUS_FAILED);
    }
}

/* Counts the descendants of `pid`, up to `enough`. Zero on a kernel without
 * `children` files. */
static int
count_descendants (pid_t pid, int enough)
{
  char path[64];
  (void) snprintf (path, sizeof path, "/proc/%d/task", (int) pid);
  DIR *threads = opendir (path);
  struct dirent *thread;
  int count = 0;
  if (threads == NULL)
    return 0;
  while (count < enough && (thread = readdir (threads)) != NULL)
    {
      if (thread->d_name[0] == '.')
        continue;
      (void) snprintf (path, sizeof path, "/proc/%d/task/%.20s/children", (int) pid, thread->d_name);
      FILE *children = fopen (path, "re");
      int child;
      while (children != NULL && count < enough && fscanf (children, "%d", &child) == 1)
        count += 1 + count_descendants (child, enough - count);
      if (children != NULL)
        (void) fclose (children);
    }
  (void) closedir (threads);
  return count;
}

/* Returns the status of the guarded child, or ends everything because a signal, kiln's death or the bound says so. */
static int
watch_child (pid_t child, const sigset_t *awaited)
{
  const struct timespec pause = { .tv_nsec = 500 * 1000 * 1000 };
  for (;;)
    {
      int number = sigtimedwait (awaited, NULL, &pause);
      int status;
      while (number == SIGCHLD)
        {
          pid_t ended = waitpid (-1, &status, WNOHANG);
          if (ended == child)
            return exit_status (status);
          if (ended <= 0)
            break;
        }
      if (number > 0 && number != SIGCHLD)
        {
          (void) kill (child, SIGKILL);
          return SIGNAL_STATUS + number;
        }
      if (number < 0 && errno == EAGAIN && count_descendants (getpid (), MAX_PROCESSES + 1) > MAX_PROCESSES)
        {
          (void) fputs ("fatal: too many processes were started\n", stderr);
          (void) kill (child, SIGKILL);
          return STATUS_FAILED;
        }
    }
}

void
guard_program (char **argv)
{
  sigset_t awaited, before;
  pid_t kiln = getppid ();
  (void) sigemptyset (&awaited);
  (void) sigaddset (&awaited, SIGCHLD);
  (void) sigaddset (&awaited, SIGTERM);
  (void) sigaddset (&awaited, SIGINT);
  (void) sigaddset (&awaited, SIGHUP);
  if (sigprocmask (SIG_BLOCK, &awaited, &before) < 0)
    give_up ("cannot block signals");
  /* Not SIGKILL: killing what was started comes first. */
  if (prctl (PR_SET_PDEATHSIG, SIGTERM) < 0 || prctl (PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) < 0)
    give_up ("cannot tie our life to kiln's");
  if (getppid () != kiln)
    _exit (STATUS_FAILED);

  cleanup_fd int self = (int) syscall (SYS_pidfd_open, getpid (), 0); /* Linux 5.3 */
  pid_t child = self < 0 ? -1 : clone_into (CLONE_NEWPID, -1);
  if (child == 0)
    run_namespace_init (argv, &before, self);
  if (child < 0 && (child = fork ()) == 0)
    run_program (argv, &before);
  if (child < 0)
    give_up ("cannot start a process");
  int status = watch_child (child, &awaited);
  kill_descendants ();
  _exit (status);
}
