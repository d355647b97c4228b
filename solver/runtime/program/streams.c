/* The caller's standard streams for a command of his own (`kiln run`). The command never holds them: it could change mode and
 * owner of the file behind one, open it anew for more than it was given for, or ask a terminal for what was typed. It gets pipes, and
 * the supervisor passes bytes. */
#include "streams.h"

#include "runtime.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>

void
open_stream (struct stream *stream, int from, int to)
{
  stream->from = from;
  stream->to = to;
  stream->first = stream->size = 0;
}

/* Nothing is read while something is still to be written, so one descriptor is waited for. */
struct pollfd
wish_of (const struct stream *stream)
{
  if (stream->size > 0)
    return (struct pollfd){ .fd = stream->to, .events = POLLOUT };
  return (struct pollfd){ .fd = stream->from, .events = POLLIN };
}

static void
shut (int *fd)
{
  /* The caller's own stay open: the command's other streams may lead there too. */
  if (*fd > STDERR_FILENO)
    (void) close (*fd);
  *fd = -1;
}

/* Closes our end when there is no reader any more: the writer notices, the
 * command by SIGPIPE. */
void
end_stream (struct stream *stream)
{
  stream->size = 0;
  shut (&stream->from);
  shut (&stream->to);
}

static void
fill (struct stream *stream)
{
  ssize_t n = read (stream->from, stream->bytes, sizeof stream->bytes);
  stream->first = 0;
  if (n > 0)
    stream->size = (size_t) n;
  else if (n == 0 || (errno != EAGAIN && errno != EINTR))
    end_stream (stream);
}

/* A caller's pipe that is said to be ready takes PIPE_BUF bytes at once without blocking us (pipe(7)). */
static void
drain (struct stream *stream)
{
  ssize_t n = write (stream->to, stream->bytes + stream->first, stream->size < PIPE_BUF ? stream->size : PIPE_BUF);
  if (n < 0 && errno != EAGAIN && errno != EINTR)
    end_stream (stream);
  if (n <= 0)
    return;
  stream->first += (size_t) n;
  stream->size -= (size_t) n;
}

void
pass_stream (struct stream *stream)
{
  if (stream->size > 0)
    drain (stream);
  else if (stream->from >= 0)
    fill (stream);
}

/* The command is dead: what it has written is passed on, however long the reader takes. */
void
finish_stream (struct stream *stream)
{
  for (;;)
    {
      if (stream->size > 0 && !write_all (stream->to, stream->bytes + stream->first, stream->size))
        break;
      ssize_t n = stream->from < 0 ? 0 : read (stream->from, stream->bytes, sizeof stream->bytes);
      if (n <= 0)
        break;
      stream->first = 0;
      stream->size = (size_t) n;
    }
  end_stream (stream);
}

/* `2>&1`: one pipe then keeps the order in which the command writes. */
bool
output_is_shared (void)
{
  struct stat output, errors;
  return fstat (STDOUT_FILENO, &output) == 0 && fstat (STDERR_FILENO, &errors) == 0 && output.st_dev == errors.st_dev
         && output.st_ino == errors.st_ino;
}
