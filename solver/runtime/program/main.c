/* kiln-runtime: does what it is told and nothing else. The driver writes a list of directives to descriptor 3; we set
 * up namespaces, mounts, limits, capabilities and the system call filter they name, run the command under a PID 1 of
 * ours, and report how it ended on the same descriptor. All policy is the driver's. */
#include "runtime.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

int
main (int argc, char **argv)
{
  if (argc > 2 && strcmp (argv[1], "enter") == 0)
    enter_user_namespace (argv + 2);
  if (argc > 2 && strcmp (argv[1], "guard") == 0)
    guard_program (argv + 2);

  if (argc == 2 && strcmp (argv[1], "try") == 0)
    try_rights ();

  /* A plain user gains no right by calling this program: it is never setuid. */
  bool known = argc == 2 && (strcmp (argv[1], "run") == 0 || strcmp (argv[1], "serve") == 0);
  bool sealed = argc == 2 && (strcmp (argv[1], "run-sealed") == 0 || strcmp (argv[1], "serve-sealed") == 0);
  if (!known && !sealed)
    {
      static const char usage[] = "kiln-runtime is started by kiln; it takes its orders on descriptor 3\n";
      (void) write_all (STDERR_FILENO, usage, sizeof usage - 1);
      return STATUS_FAILED;
    }

  /* Close foreign descriptors first, so that every later one is ours. */
  if (syscall (SYS_close_range, CONTROL_FD + 1, ~0U, 0) < 0 && errno != ENOSYS)
    die_errno ("cannot close inherited descriptors");

  /* The driver holds the other end of descriptor 3; this covers its thread dying without the socket closing. */
  if (prctl (PR_SET_PDEATHSIG, SIGKILL) < 0)
    die_errno ("cannot tie our life to kiln's");

  bool serves = strncmp (argv[1], "serve", 5) == 0;
  if (!sealed)
    seal_own_binary (serves ? "serve-sealed" : "run-sealed");
  have_own_mounts ();

  /* Makes /proc/<pid> of supervisor and PID 1 off limits to everything inside: exe, fd, cwd, root, mem. */
  if (prctl (PR_SET_DUMPABLE, 0) < 0)
    die_errno ("cannot make the runtime undumpable");
  (void) signal (SIGPIPE, SIG_IGN);

  return serves ? serve () : supervise (read_plan ());
}
