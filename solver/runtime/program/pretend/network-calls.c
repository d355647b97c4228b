/* Calls that need a network of the step's own where it has a foreign one: a
 * port below the first unprivileged one, a raw socket. The kernel answers
 * them; the request is noted, so that the driver can run the step again in a
 * network of its own, or name the missing part. */
#include "pretend.h"

#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>

enum { FIRST_FREE_PORT = 1024 };

static uint32_t first_free_port = FIRST_FREE_PORT;
static uint32_t *wish; /* in memory shared with the supervisor */
static bool *owner_wish;

static void
prepare (const struct plan *plan)
{
  prepare_network_calls (plan);
}

void
prepare_network_calls (const struct plan *plan)
{
  wish = plan->network_wish;
  owner_wish = plan->owner_wish;
  FILE *file = fopen ("/proc/sys/net/ipv4/ip_unprivileged_port_start", "re");
  if (file == NULL)
    return;
  if (fscanf (file, "%u", &first_free_port) != 1)
    first_free_port = FIRST_FREE_PORT;
  (void) fclose (file);
}

bool
is_network_call (long number)
{
  return number == SYS_bind || number == SYS_socket;
}

/* The port of an internet address; 0 for any other, and for one that is left to the kernel. */
static uint32_t
port_in (pid_t pid, uint64_t address, uint64_t size)
{
  struct sockaddr_in6 name;
  size_t length = size < sizeof name ? (size_t) size : sizeof name;
  memset (&name, 0, sizeof name);
  if (length < sizeof (struct sockaddr_in) || !read_memory (pid, address, &name, length))
    return 0;
  bool is_internet = name.sin6_family == AF_INET || name.sin6_family == AF_INET6;
  const unsigned char *port = (const unsigned char *) &name.sin6_port; /* the same place in both families */
  return is_internet ? (uint32_t) port[0] << 8 | port[1] : 0;
}

/* The filter stops only those sockets that are raw. */
struct answer
note_network_call (const struct seccomp_notif *call)
{
  const uint64_t *a = (const uint64_t *) (const void *) call->data.args;
  uint32_t port = call->data.nr == SYS_bind ? port_in ((pid_t) call->pid, a[1], a[2]) : 0;
  if (call->data.nr == SYS_socket && is_still_asking (call->id))
    *wish = RAW_SOCKET_WISH;
  else if (port > 0 && port < first_free_port && is_still_asking (call->id))
    *wish = port;
  return LET_THE_KERNEL;
}

/* An owner beyond the map of ids, or a device: the kernel refuses it, and the step is run again with records. */
static struct answer
note (const struct seccomp_notif *call)
{
  if (is_network_call (call->data.nr))
    return note_network_call (call);
  *owner_wish = true;
  return LET_THE_KERNEL;
}

const struct answering WATCHED_CALLS = { prepare, note };
