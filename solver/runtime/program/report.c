/* Frames to the driver: one letter, the length in decimal, a newline, the bytes. 'x' carries the text of a failure, 'r' before
 * it the part of the sandbox that was refused. */
#include "runtime.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

void (*before_death) (void);
const char *current_part;

/* Sends a report. False when the other side is gone; every caller blocks or
 * ignores SIGPIPE. */
bool
write_all (int fd, const void *data, size_t size)
{
  const char *at = data;
  while (size > 0)
    {
      ssize_t n = write (fd, at, size);
      if (n < 0 && errno == EINTR)
        continue;
      if (n <= 0)
        return false;
      at += n;
      size -= (size_t) n;
    }
  return true;
}

/* The head and the body go out in one call so that two writers (supervisor and PID 1) cannot mix: a stream socket
 * takes a small message whole or blocks. */
void
report (char kind, const void *data, size_t size)
{
  char head[32];
  int head_size = snprintf (head, sizeof head, "%c%zu\n", kind, size);
  struct iovec parts[2] = { { head, (size_t) head_size }, { (void *) (uintptr_t) data, size } };
  struct msghdr message = { .msg_iov = parts, .msg_iovlen = 2 };
  ssize_t sent;

  do
    sent = sendmsg (CONTROL_FD, &message, MSG_NOSIGNAL);
  while (sent < 0 && errno == EINTR);
  if (sent < 0)
    return;
  if ((size_t) sent < (size_t) head_size)
    {
      if (write_all (CONTROL_FD, head + sent, (size_t) head_size - (size_t) sent))
        (void) write_all (CONTROL_FD, data, size);
      return;
    }
  size_t body = (size_t) sent - (size_t) head_size;
  if (body < size)
    (void) write_all (CONTROL_FD, (const char *) data + body, size - body);
}

static void
die_with (int error, const char *format, va_list arguments)
{
  char text[8192];
  int n = vsnprintf (text, sizeof text, format, arguments);
  size_t used = n < 0 ? 0 : (size_t) n;
  if (used >= sizeof text)
    used = sizeof text - 1;
  if (error != 0)
    {
      n = snprintf (text + used, sizeof text - used, ": %s", strerror (error));
      used += n < 0 ? 0 : (size_t) n;
      if (used >= sizeof text)
        used = sizeof text - 1;
    }
  if (current_part != NULL)
    report ('r', current_part, strlen (current_part));
  report ('x', text, used);
  if (before_death != NULL)
    before_death ();
  _exit (STATUS_FAILED);
}

void
die (const char *format, ...)
{
  va_list arguments;
  va_start (arguments, format);
  die_with (0, format, arguments);
  va_end (arguments);
  _exit (STATUS_FAILED);
}

void
die_errno (const char *format, ...)
{
  int error = errno;
  va_list arguments;
  va_start (arguments, format);
  die_with (error, format, arguments);
  va_end (arguments);
  _exit (STATUS_FAILED);
}
