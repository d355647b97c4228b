/* One plan after another on the same descriptor: starting this program from kiln's own, large process costs more than the
 * rest of a step. Each plan gets a supervisor of its own, a fork of this process as it was before the first one; it reads
 * the plan itself, so nothing of a step is ever known here, and nothing of one step to the next. */
#include "runtime.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>

/* Waits for the next plan and leaves it where it is. False when kiln is gone. */
static bool
plan_is_coming (void)
{
  for (;;)
    {
      char byte;
      ssize_t n = recv (CONTROL_FD, &byte, 1, MSG_PEEK);
      if (n < 0 && errno == EINTR)
        continue;
      if (n != 1)
        return false;
      if (byte != KILL_ORDER)
        return true;
      /* It was meant for a step that had ended by itself. */
      (void) recv (CONTROL_FD, &byte, 1, 0);
    }
}

int
serve (void)
{
  pid_t own = getpid ();
  sigset_t all;
  /* A terminal's signals are for kiln, which says what is to happen. A supervisor blocks all of them too. */
  (void) sigfillset (&all);
  (void) sigprocmask (SIG_SETMASK, &all, NULL);
  /* Processes left by a failed supervisor become our children. */
  if (prctl (PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) < 0)
    die_errno ("cannot adopt what failed steps leave behind");

  while (plan_is_coming ())
    {
      int status;
      char text[16];
      pid_t supervisor = fork ();
      if (supervisor < 0)
        die_errno ("cannot start a process for the step");
      if (supervisor == 0)
        {
          if (prctl (PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid () != own)
            _exit (STATUS_FAILED);
          _exit (supervise (read_plan ()));
        }
      while (waitpid (supervisor, &status, 0) < 0)
        if (errno != EINTR)
          die_errno ("cannot wait for a step");
      /* The last word on a step: whatever has become of it, nothing of it runs any more, or has something else to say. */
      if (waitpid (-1, NULL, WNOHANG) >= 0)
        kill_descendants ();
      int size = snprintf (text, sizeof text, "%d", WIFEXITED (status) ? WEXITSTATUS (status) : -WTERMSIG (status));
      report ('z', text, (size_t) size);
    }
  return 0;
}
