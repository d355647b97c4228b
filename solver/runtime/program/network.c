/* A network of the step's own that leads out: another program (pasta, slirp4netns) makes an interface in the namespace and
 * passes on, as a plain user's process, what goes through it. The supervisor starts it; PID 1 waits until the namespace
 * has a way out, so the command never sees a network that is half made. */
#include "runtime.h"

#include "kernel.h"
#include <errno.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>

enum { ROUTE_TIMEOUT_MS = 10000 };

static pid_t helper = -1;
static int helper_output = -1;
static const char *helper_program;
static const bool *is_up; /* in memory shared with PID 1 */

static void __attribute__ ((noreturn))
run_helper (const struct plan *plan, int namespace)
{
  sigset_t none;
  (void) sigemptyset (&none);
  (void) sigprocmask (SIG_SETMASK, &none, NULL);
  (void) signal (SIGPIPE, SIG_DFL);
  /* Descriptor 0 is the namespace: /proc/<pid>/ns of ours is closed to everyone without CAP_SYS_PTRACE. */
  if (prctl (PR_SET_PDEATHSIG, SIGKILL) < 0 || dup2 (namespace, STDIN_FILENO) < 0
      || dup2 (helper_output, STDOUT_FILENO) < 0 || dup2 (helper_output, STDERR_FILENO) < 0
      || syscall (SYS_close_range, STDERR_FILENO + 1, ~0U, 0) < 0)
    _exit (STATUS_FAILED);
  (void) execv (plan->network_helper[0], (char *const *) (uintptr_t) plan->network_helper);
  (void) dprintf (STDERR_FILENO, "cannot run %s: %s", plan->network_helper[0], strerror (errno));
  _exit (STATUS_NOT_FOUND);
}

void
start_network (const struct plan *plan, const struct shared *shared, pid_t init)
{
  helper_program = plan->network_helper[0];
  is_up = &shared->network_is_up;
  char path[64];
  (void) snprintf (path, sizeof path, "/proc/%d/ns/net", (int) init);
  cleanup_fd int namespace = open (path, O_RDONLY | O_CLOEXEC);
  helper_output = memfd_create ("network-helper", MFD_CLOEXEC);
  if (namespace < 0 || helper_output < 0)
    die_errno ("cannot open the step's network");
  helper = fork ();
  if (helper < 0)
    die_errno ("cannot start a process for the step's network");
  if (helper == 0)
    run_helper (plan, namespace);
}

/* Checks the helper after SIGCHLD: one that ended before the network existed
 * will not make it any more. */
void
check_network (void)
{
  int status;
  char text[512] = "";
  if (helper < 0 || *is_up || waitpid (helper, &status, WNOHANG) != helper)
    return;
  (void) pread (helper_output, text, sizeof text - 1, 0);
  die ("cannot make the step's network: %s ended with status %d: %s", helper_program,
       WIFEXITED (status) ? WEXITSTATUS (status) : 128 + WTERMSIG (status), text);
}

void
stop_network (void)
{
  if (helper < 0)
    return;
  (void) kill (helper, SIGKILL);
  (void) waitpid (helper, NULL, 0);
}

struct routes_request
{
  struct nlmsghdr head;
  struct rtmsg route;
};

/* Tells whether one batch of messages has a route to everywhere. */
static bool
has_default_route (const char *messages, ssize_t size)
{
  for (ssize_t at = 0; at + (ssize_t) sizeof (struct nlmsghdr) <= size;)
    {
      const struct nlmsghdr *head = (const void *) (messages + at);
      if (head->nlmsg_len < sizeof *head || (ssize_t) head->nlmsg_len > size - at)
        return false;
      at += (ssize_t) NLMSG_ALIGN (head->nlmsg_len);
      const struct rtmsg *route = NLMSG_DATA (head);
      if (head->nlmsg_type == RTM_NEWROUTE && head->nlmsg_len >= NLMSG_LENGTH (sizeof *route) && route->rtm_dst_len == 0 && route->rtm_type == RTN_UNICAST
          && route->rtm_table == RT_TABLE_MAIN)
        return true;
    }
  return false;
}

/* PID 1: listens first and asks then, so that no route can appear in between unseen. */
void
wait_for_network (struct shared *shared)
{
  struct sockaddr_nl address = { .nl_family = AF_NETLINK, .nl_groups = RTMGRP_IPV4_ROUTE | RTMGRP_IPV6_ROUTE };
  struct routes_request request = {
    .head = { .nlmsg_len = sizeof request, .nlmsg_type = RTM_GETROUTE, .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP },
    .route = { .rtm_family = AF_INET },
  };
  cleanup_fd int fd = socket (AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
  if (fd < 0 || bind (fd, (const struct sockaddr *) &address, sizeof address) < 0
      || send (fd, &request, sizeof request, 0) < 0)
    die_errno ("cannot watch the step's network");
  for (;;)
    {
      static char messages[32768] __attribute__ ((aligned (8)));
      struct pollfd one = { .fd = fd, .events = POLLIN };
      int ready = poll (&one, 1, ROUTE_TIMEOUT_MS);
      if (ready < 0 && errno == EINTR)
        continue;
      if (ready <= 0)
        die ("cannot make the step's network: no way out of it after %d seconds", ROUTE_TIMEOUT_MS / 1000);
      ssize_t size = recv (fd, messages, sizeof messages, 0);
      if (size > 0 && has_default_route (messages, size))
        break;
    }
  shared->network_is_up = true;
}
