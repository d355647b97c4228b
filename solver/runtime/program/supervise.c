/* The parent of PID 1, outside of the container: makes the trees, passes output on, and waits for one of two ends, the
 * command's or kiln's. Whatever ends, it leaves nothing mounted and nothing running. */
#include "runtime.h"

#include "kernel.h"
#include "pretend/pretend.h"
#include "streams.h"
#include "terminal.h"
#include <errno.h>
#include <linux/sched.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>

enum { CHUNK = 64 * 1024 };

/* SIGINT and SIGQUIT of a terminal go to its whole foreground group: kiln decides what they mean, we only wait to be
 * told. SIGURG is its word that the command is to have SIGINT: that signal itself could be the terminal's. The rest is
 * meant for the command. SIGTTOU is in the set so that we may change the terminal. */
static int
open_signals (void)
{
  sigset_t all, forwarded;
  (void) sigfillset (&all);
  if (sigprocmask (SIG_SETMASK, &all, NULL) < 0)
    die_errno ("cannot block signals");
  (void) sigemptyset (&forwarded);
  (void) sigaddset (&forwarded, SIGCHLD);
  (void) sigaddset (&forwarded, SIGTERM);
  (void) sigaddset (&forwarded, SIGURG);
  (void) sigaddset (&forwarded, SIGHUP);
  (void) sigaddset (&forwarded, SIGUSR1);
  (void) sigaddset (&forwarded, SIGUSR2);
  (void) sigaddset (&forwarded, SIGWINCH);
  int fd = signalfd (-1, &forwarded, SFD_CLOEXEC | SFD_NONBLOCK);
  if (fd < 0)
    die_errno ("cannot wait for signals");
  return fd;
}

/* A real pipe, because a socket cannot be opened through /dev/stdout. Our end does not block. */
static void
make_pipe (int *ours, int *theirs, bool is_input)
{
  int ends[2];
  if (pipe2 (ends, O_CLOEXEC) < 0)
    die_errno ("cannot make a pipe for the command");
  *ours = ends[is_input ? 1 : 0];
  *theirs = ends[is_input ? 0 : 1];
  if (fcntl (*ours, F_SETFL, O_NONBLOCK) < 0)
    die_errno ("cannot make a pipe non-blocking");
}

/* Pipes by the numbers of the standard streams; -1 where there is none. What the command has from its own terminal, or
 * from /dev/null, needs none, and one pipe serves for both outputs where they lead to one place. */
static void
make_pipes (const struct plan *plan, bool has_terminal, int ours[3], int theirs[3])
{
  if (plan->inherit_stdio && !has_terminal)
    make_pipe (&ours[STDIN_FILENO], &theirs[STDIN_FILENO], true);
  if (!has_terminal)
    make_pipe (&ours[STDOUT_FILENO], &theirs[STDOUT_FILENO], false);
  if (has_terminal && isatty (STDERR_FILENO))
    return;
  if (plan->inherit_stdio && !has_terminal && output_is_shared ())
    theirs[STDERR_FILENO] = theirs[STDOUT_FILENO];
  else
    make_pipe (&ours[STDERR_FILENO], &theirs[STDERR_FILENO], false);
}

/* One chunk of output to the driver. False at its end or when there is nothing now. */
static bool
pass_on (struct pollfd *pipe, char kind)
{
  static char buffer[CHUNK];
  ssize_t n = read (pipe->fd, buffer, sizeof buffer);
  if (n > 0)
    {
      report (kind, buffer, (size_t) n);
      return true;
    }
  if (n == 0 || (errno != EAGAIN && errno != EINTR))
    {
      (void) close (pipe->fd);
      pipe->fd = -1; /* poll skips it */
    }
  return false;
}

/* Returns whether PID 1 should be waited for. */
static bool
take_signals (int signal_fd, pid_t init, int master)
{
  struct signalfd_siginfo info;
  bool child = false;
  while (read (signal_fd, &info, sizeof info) == (ssize_t) sizeof info)
    {
      if (info.ssi_signo == SIGCHLD)
        child = true;
      else if (info.ssi_signo == SIGWINCH)
        {
          if (master >= 0)
            pass_size (STDIN_FILENO, master);
        }
      else
        (void) kill (init, info.ssi_signo == SIGURG ? SIGINT : (int) info.ssi_signo);
    }
  return child;
}

/* Waits until PID 1 is dead, and with it, by the kernel's promise, every
 * process of its namespace. */
static void
watch (const struct plan *plan, pid_t init, int signal_fd, const int pipes[3], int announced_fd, int *status, struct rusage *usage)
{
  static struct input input;
  static struct stream streams[3];
  bool passes = plan->inherit_stdio;
  open_stream (&streams[0], passes && pipes[0] >= 0 ? STDIN_FILENO : -1, pipes[0]);
  open_stream (&streams[1], passes ? pipes[1] : -1, STDOUT_FILENO);
  open_stream (&streams[2], passes ? pipes[2] : -1, STDERR_FILENO);
  int master = -1;
  bool more_to_type = true;
  struct pollfd watched[] = {
    { .fd = passes ? -1 : pipes[1], .events = POLLIN },
    { .fd = passes ? -1 : pipes[2], .events = POLLIN },
    { .fd = CONTROL_FD, .events = POLLIN },
    { .fd = signal_fd, .events = POLLIN },
    { .fd = announced_fd, .events = POLLIN },
    { .fd = -1, .events = POLLIN }, /* the person's terminal */
    { .fd = -1, .events = POLLIN }, /* the command's */
    { .fd = -1 },                   /* the caller's streams */
    { .fd = -1 },
    { .fd = -1 },
  };

  for (;;)
    {
      for (int i = 0; i < 3; i++)
        watched[7 + i] = wish_of (&streams[i]);
      if (poll (watched, 10, -1) < 0 && errno != EINTR)
        die_errno ("cannot wait for the command");
      for (int i = 0; i < 3; i++)
        if (watched[7 + i].revents != 0)
          pass_stream (&streams[i]);
      if (watched[4].revents != 0)
        {
          if (read (announced_fd, &master, sizeof master) == sizeof master)
            {
              watched[6].fd = master;
              make_raw ();
            }
          watched[4].fd = -1;
        }
      if (watched[5].revents != 0)
        more_to_type = read_input (&input);
      if (watched[6].revents != 0 && !pass_terminal_output (master) && (watched[6].revents & (POLLHUP | POLLERR)) != 0)
        watched[6].fd = -1;
      if (master >= 0)
        {
          pass_input (&input, master);
          watched[5].fd = input.size == 0 && more_to_type ? STDIN_FILENO : -1;
          watched[6].events = (short) (input.size > 0 ? POLLIN | POLLOUT : POLLIN);
        }
      if (watched[0].revents != 0)
        (void) pass_on (&watched[0], 'o');
      if (watched[1].revents != 0)
        (void) pass_on (&watched[1], 'e');
      if (watched[2].revents != 0)
        {
          char byte;
          ssize_t n = recv (CONTROL_FD, &byte, 1, MSG_DONTWAIT);
          bool ordered = n == 1 && byte == KILL_ORDER;
          if (ordered || n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
            {
              (void) kill (init, SIGKILL);
              watched[2].fd = -1;
            }
        }
      if (watched[3].revents != 0 && take_signals (signal_fd, init, master))
        {
          check_network ();
          if (wait4 (init, status, WNOHANG, usage) == init)
            break;
        }
    }

  for (int i = 0; i < 2; i++)
    while (watched[i].fd >= 0 && pass_on (&watched[i], i == 0 ? 'o' : 'e'))
      ;
  while (watched[6].fd >= 0 && pass_terminal_output (master))
    ;
  finish_stream (&streams[1]);
  finish_stream (&streams[2]);
}

static uint64_t
microseconds (struct timeval time)
{
  return (uint64_t) time.tv_sec * 1000000U + (uint64_t) time.tv_usec;
}

static uint64_t
now_microseconds (void)
{
  struct timespec now;
  (void) clock_gettime (CLOCK_MONOTONIC, &now);
  return (uint64_t) now.tv_sec * 1000000U + (uint64_t) now.tv_nsec / 1000U;
}

static void
report_end (const struct shared *shared, const struct rusage *usage, uint64_t wall)
{
  char text[160];
  int status = shared->command_status;
  /* A missing exit means that the command was killed with its PID 1: out of
   * memory, or by kiln's order. */
  int code = shared->command_ended && WIFEXITED (status) ? WEXITSTATUS (status) : 0;
  int by_signal = !shared->command_ended ? SIGKILL : WIFSIGNALED (status) ? WTERMSIG (status) : 0;
  /* PID 1's usage is that of all inside: it reaps them. Blocks are of 512 bytes, counted where they were read or made
   * dirty, so what is still to be written to the disk is in. */
  int n = snprintf (text, sizeof text, "%d %d %llu %llu %ld %lld %lld %u %d", code, by_signal, (unsigned long long) wall,
                    (unsigned long long) (microseconds (usage->ru_utime) + microseconds (usage->ru_stime)),
                    usage->ru_maxrss, (long long) usage->ru_inblock * 512, (long long) usage->ru_oublock * 512,
                    (unsigned int) shared->network_wish, shared->owner_wish);
  report ('q', text, (size_t) n);
}

int
supervise (struct plan *plan)
{
  int signal_fd = open_signals ();
  int ours[3] = { -1, -1, -1 }, theirs[3] = { -1, -1, -1 }, gate[2] = { -1, -1 }, announced[2] = { -1, -1 };
  cleanup_fd int cgroup_fd = -1;
  struct rusage usage = { 0 };

  struct shared *shared = mmap (NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (shared == MAP_FAILED)
    die_errno ("cannot map memory to share with PID 1");
  struct stat store;
  if (plan->scratch != NULL && stat (plan->scratch, &store) == 0)
    shared->store_device = store.st_dev;

  plan->network_wish = &shared->network_wish;
  plan->owner_wish = &shared->owner_wish;
  bool keeps_records = plan->owner_records != NULL || plan->records_beyond != NULL;
  const struct answering *answering = keeps_records ? &PRETENDED_IDS : plan->answers_proc ? &PROC_FILES : &WATCHED_CALLS;
  pid_t pretender = has_listener (plan) ? start_answering (plan, answering) : -1;
  if (plan->cgroup_v2 != NULL && (cgroup_fd = open (plan->cgroup_v2, O_PATH | O_DIRECTORY | O_CLOEXEC)) < 0)
    die_errno ("cannot open the cgroup %s", plan->cgroup_v2);
  settle_devices (plan, cgroup_fd);
  current_part = "mounts";
  make_spare_nodes (plan);
  current_part = NULL;
  if (plan->chroot == NULL)
    open_tree_mounts (plan);
  else
    adopt_orphans ();
  bool has_terminal = plan->chroot == NULL && terminal_is_wanted (plan);
  make_pipes (plan, has_terminal, ours, theirs);
  bool gated = plan->uid_map != NULL || plan->cgroup_procs_count > 0;
  if (gated && pipe2 (gate, O_CLOEXEC) < 0)
    die_errno ("cannot make a pipe to PID 1");

  if (has_terminal && pipe2 (announced, O_CLOEXEC) < 0)
    die_errno ("cannot make a pipe to PID 1");

  plan->supervisor_fd = plan->chroot != NULL ? -1 : (int) syscall (SYS_pidfd_open, getpid (), 0); /* Linux 5.3 */
  if (plan->chroot == NULL && plan->supervisor_fd < 0)
    die_errno ("cannot name the supervisor to PID 1");

  uint64_t started = now_microseconds ();
  uint64_t flags = CLONE_FILES | CLONE_NEWNS | ((uint64_t) plan->namespaces & ~(uint64_t) CLONE_NEWCGROUP)
                   | (plan->uid_map != NULL ? CLONE_NEWUSER : 0);
  pid_t init = plan->chroot != NULL ? fork () : clone_into (flags, cgroup_fd);
  current_part = init < 0 ? "namespaces" : NULL;
  if (init < 0)
    die_errno ("cannot make the container's namespaces");
  if (init == 0 && plan->chroot != NULL)
    run_chrooted (plan, theirs);
  if (init == 0)
    run_init (plan, shared, gate[0], theirs, announced[1]);

  if (gated)
    {
      if (plan->uid_map != NULL)
        write_id_maps (plan, init);
      join_cgroups (plan, init);
      (void) write_all (gate[1], "", 1);
    }
  if (plan->chroot != NULL)
    close_streams (theirs);
  if (plan->network_helper != NULL && plan->chroot == NULL)
    start_network (plan, shared, init);
  int status = 0;
  watch (plan, init, signal_fd, ours, announced[0], &status, &usage);
  restore_terminal ();
  uint64_t ended = now_microseconds ();
  stop_network ();

  if (plan->chroot != NULL)
    {
      /* The command itself was waited for: there is no PID 1. */
      shared->command_status = status;
      shared->command_ended = true;
      kill_descendants ();
    }
  else if (pretender > 0)
    {
      (void) kill (pretender, SIGKILL);
      (void) waitpid (pretender, NULL, 0);
    }

  /* Closing the trees is what unmounts them: PID 1's namespace is gone, ours are the last references. */
  remove_stubs (shared);
  for (size_t i = 0; i < plan->tree_count; i++)
    (void) close (plan->trees[i]->fd);
  report_end (shared, &usage, ended - started);
  return 0;
}
