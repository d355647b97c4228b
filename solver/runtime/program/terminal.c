/* A terminal for a command that a person sits before. The command never gets the person's own: with it, it could type
 * into the shell that started kiln (TIOCSTI, CVE-2023-1523 class). It gets a new one from its own devpts, and the
 * supervisor passes bytes between the two. */
#include "terminal.h"

#include "runtime.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <termios.h>

static struct termios before;
static bool changed;

bool
terminal_is_wanted (const struct plan *plan)
{
  return plan->inherit_stdio && isatty (STDIN_FILENO) && isatty (STDOUT_FILENO);
}

/* Opens the terminal in PID 1, inside: the supervisor shares our
 * descriptors, so the number is all it needs. Returns the command's end. */
int
open_terminal (const struct plan *plan, int announce_fd)
{
  int unlock = 0;
  int master = open ("/dev/pts/ptmx", O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
  if (master < 0 || ioctl (master, TIOCSPTLCK, &unlock) < 0)
    die_errno ("cannot make a terminal for the command");
  int slave = ioctl (master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC); /* Linux 4.13; needs no path */
  if (slave < 0 || fchown (slave, plan->uid, (gid_t) -1) < 0)
    die_errno ("cannot open the command's terminal");
  pass_size (STDIN_FILENO, master);
  if (!write_all (announce_fd, &master, sizeof master))
    die ("nobody is there to hold the command's terminal");
  return slave;
}

/* Attaches the command, which leads a session, to the terminal. Standard
 * error becomes a pipe afterwards when it leads elsewhere. */
void
take_terminal (int slave)
{
  if (ioctl (slave, TIOCSCTTY, 0) < 0)
    die_errno ("cannot make the terminal the command's own");
  if (dup2 (slave, STDIN_FILENO) < 0 || dup2 (slave, STDOUT_FILENO) < 0 || dup2 (slave, STDERR_FILENO) < 0)
    die_errno ("cannot connect the command to its terminal");
}

void
pass_size (int from, int to)
{
  struct winsize size;
  if (ioctl (from, TIOCGWINSZ, &size) == 0)
    (void) ioctl (to, TIOCSWINSZ, &size);
}

/* Every key as it is: what Ctrl-C means is decided by the command's terminal. SIGTTOU is blocked in the supervisor. */
void
make_raw (void)
{
  struct termios raw;
  if (tcgetattr (STDIN_FILENO, &before) < 0)
    return;
  raw = before;
  cfmakeraw (&raw);
  changed = tcsetattr (STDIN_FILENO, TCSANOW, &raw) == 0;
  before_death = restore_terminal;
  /* We must live to put it back. When kiln is killed its end of the control socket closes, which ends us in order. */
  (void) prctl (PR_SET_PDEATHSIG, 0);
}

void
restore_terminal (void)
{
  if (changed)
    (void) tcsetattr (STDIN_FILENO, TCSADRAIN, &before);
  changed = false;
}

/* Passes on what the person types. A command that does not read must not keep us from passing on what it writes, so what
 * its terminal does not take now stays in `input`. */
void
pass_input (struct input *input, int master)
{
  while (input->size > 0)
    {
      ssize_t n = write (master, input->bytes, input->size);
      if (n <= 0)
        return;
      input->size -= (size_t) n;
      memmove (input->bytes, input->bytes + n, input->size);
    }
}

bool
read_input (struct input *input)
{
  ssize_t n = read (STDIN_FILENO, input->bytes, sizeof input->bytes);
  if (n < 0 && (errno == EINTR || errno == EAGAIN))
    return true;
  if (n <= 0)
    return false;
  input->size = (size_t) n;
  return true;
}

/* Passes on what the command writes. False at the end, which a terminal tells by EIO, and when there is nothing now. */
bool
pass_terminal_output (int master)
{
  static char buffer[16 * 1024];
  ssize_t n = read (master, buffer, sizeof buffer);
  return n > 0 && write_all (STDOUT_FILENO, buffer, (size_t) n);
}
