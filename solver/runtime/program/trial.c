/* `kiln-runtime try`: the command of a step that only finds out what steps may do. A line on standard output for each thing,
 * its name and the kernel's error number or 0. */
#include "runtime.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

enum { LOW_PORT = 80, OTHER_USER = 12345 };

static int
bind_low_port (void)
{
  struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons (LOW_PORT), .sin_addr = { htonl (INADDR_LOOPBACK) } };
  cleanup_fd int fd = socket (AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0)
    return -1;
  int bound = bind (fd, (const struct sockaddr *) &address, sizeof address);
  /* Another process has it, so it is available. */
  return bound < 0 && errno == EADDRINUSE ? 0 : bound;
}

static int
open_raw_socket (void)
{
  cleanup_fd int fd = socket (AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_ICMP);
  return fd;
}

static int
make_device (void)
{
  return mknod ("/tried-device", S_IFCHR | 0600, makedev (1, 3));
}

static int
give_file (void)
{
  cleanup_fd int fd = open ("/tried-file", O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
  return fd < 0 ? -1 : chown ("/tried-file", OTHER_USER, OTHER_USER);
}

static int
read_own_process (void)
{
  cleanup_fd int fd = open ("/proc/self/status", O_RDONLY | O_CLOEXEC);
  return fd;
}

void
try_rights (void)
{
  static const struct { const char *name; int (*attempt) (void); } things[] = {
    { "port", bind_low_port }, { "raw", open_raw_socket }, { "mknod", make_device },
    { "chown", give_file },    { "proc", read_own_process },
  };
  for (size_t i = 0; i < sizeof things / sizeof *things; i++)
    {
      errno = 0;
      int result = things[i].attempt ();
      (void) printf ("%s %d\n", things[i].name, result < 0 ? errno : 0);
    }
  (void) fflush (stdout);
  _exit (STATUS_FAILED);
}
