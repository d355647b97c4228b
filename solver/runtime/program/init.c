/* PID 1 of the container: builds the root, starts the command, reaps what is orphaned and passes signals on. When it
 * exits the kernel kills everything else inside. */
#include "runtime.h"

#include "kernel.h"
#include "terminal.h"
#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>

/* The supervisor writes a byte once our ids and cgroups are in place. */
static void
wait_at_gate (int gate_fd)
{
  char byte;
  ssize_t n;
  do
    n = read (gate_fd, &byte, 1);
  while (n < 0 && errno == EINTR);
  if (n != 1)
    _exit (STATUS_FAILED);
}

/* Every signal but SIGCHLD goes to the command, which is in a session of its own and would not see it otherwise. */
static void
reap_until_command_ends (pid_t command, struct shared *shared)
{
  sigset_t all;
  (void) sigfillset (&all);
  for (;;)
    {
      siginfo_t info;
      int signal_number = sigwaitinfo (&all, &info);
      if (signal_number < 0)
        continue;
      if (signal_number != SIGCHLD)
        {
          (void) kill (command, signal_number);
          continue;
        }
      for (;;)
        {
          int status;
          pid_t pid = waitpid (-1, &status, WNOHANG);
          if (pid <= 0)
            break;
          if (pid != command)
            continue;
          shared->command_status = status;
          shared->command_ended = true;
          return;
        }
    }
}

void
run_init (const struct plan *plan, struct shared *shared, int gate_fd, const int streams[3], int announce_fd)
{
  /* The supervisor's death must be ours, or a container could outlive kiln. */
  if (prctl (PR_SET_PDEATHSIG, SIGKILL) < 0)
    die_errno ("cannot tie PID 1 to its supervisor");
  /* It may have died before that, and there is no parent to ask for: seen from in here it is always 0. */
  struct pollfd supervisor = { .fd = plan->supervisor_fd, .events = POLLIN };
  if (poll (&supervisor, 1, 0) != 0)
    _exit (STATUS_FAILED);
  if (gate_fd >= 0)
    wait_at_gate (gate_fd);

  /* Only now are we where we belong in the cgroup tree, and the new namespace takes that place as its root. */
  current_part = "cgroup";
  if ((plan->namespaces & CLONE_NEWCGROUP) != 0 && unshare (CLONE_NEWCGROUP) < 0)
    die_errno ("cannot make a cgroup namespace");
  current_part = NULL;
  if ((plan->namespaces & CLONE_NEWNET) != 0)
    bring_loopback_up ();
  if (plan->network_helper != NULL)
    wait_for_network (shared);
  current_part = "hostname";
  if (plan->hostname != NULL && sethostname (plan->hostname, strlen (plan->hostname)) < 0)
    die_errno ("cannot set the host name to %s", plan->hostname);
  current_part = NULL;

  attach_root (plan);
  run_steps (plan, plan->root->fd, shared);
  if (plan->keep_old_root)
    move_over_root (plan->root->fd);
  else
    pivot_into (plan->root->fd);

  int terminal = announce_fd < 0 ? -1 : open_terminal (plan, announce_fd);
  pid_t command = fork ();
  if (command < 0)
    die_errno ("cannot start a process for the command");
  if (command == 0)
    run_command (plan, streams, terminal);

  /* The supervisor shares our descriptors: closing the writing ends here lets it see the end of the output. */
  close_streams (streams);
  if (terminal >= 0)
    (void) close (terminal);
  reap_until_command_ends (command, shared);
  _exit (0);
}
