/* The descriptor by which the filter's stopped calls come and are answered (seccomp's user notification, Linux 5.0). The
 * command makes it and hands it over a socket. See pretend.c for the whole. */
#include "pretend.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#ifndef SECCOMP_ADDFD_FLAG_SEND
#define SECCOMP_ADDFD_FLAG_SEND 2
#endif

#ifndef SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP
#define SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP 1UL
#define SECCOMP_IOCTL_NOTIF_SET_FLAGS SECCOMP_IOW (4, uint64_t)
#endif

static int listener = -1;

/* The process is still the one that asked, and still waits: its number was not given to another one meanwhile. */
bool
is_still_asking (uint64_t id)
{
  return ioctl (listener, SECCOMP_IOCTL_NOTIF_ID_VALID, &id) == 0;
}

/* Gives the process its descriptor, which is the answer to its call at the same time (Linux 5.14). */
struct answer
hand_descriptor (const struct seccomp_notif *call, int fd, int flags)
{
  struct seccomp_notif_addfd addition = {
    .id = call->id, .flags = SECCOMP_ADDFD_FLAG_SEND, .srcfd = (uint32_t) fd, .newfd_flags = (uint32_t) (flags & O_CLOEXEC)
  };
  if (ioctl (listener, SECCOMP_IOCTL_NOTIF_ADDFD, &addition) < 0)
    return answer_error (errno == ENOENT ? EINTR : errno);
  return (struct answer){ .done = true };
}

static bool
is_over (void)
{
  struct pollfd one = { .fd = listener, .events = POLLIN };
  while (poll (&one, 1, -1) < 0)
    if (errno != EINTR)
      return true;
  return (one.revents & POLLIN) == 0;
}

/* Serves until all processes with the filter are gone. */
static void
answer_calls (struct answer (*give) (const struct seccomp_notif *))
{
  /* The kernel may know longer structures than the headers do. */
  struct seccomp_notif_sizes sizes;
  if (syscall (SYS_seccomp, SECCOMP_GET_NOTIF_SIZES, 0, &sizes) < 0)
    die_errno ("cannot ask for the size of notifications");
  size_t call_size = sizes.seccomp_notif > sizeof (struct seccomp_notif) ? sizes.seccomp_notif : sizeof (struct seccomp_notif);
  size_t response_size = sizes.seccomp_notif_resp > sizeof (struct seccomp_notif_resp) ? sizes.seccomp_notif_resp
                                                                                        : sizeof (struct seccomp_notif_resp);
  struct seccomp_notif *call = malloc (call_size);
  struct seccomp_notif_resp *response = malloc (response_size);
  if (call == NULL || response == NULL)
    die_errno ("cannot hold a notification");
  /* Linux 6.6: the caller passes its processor on, and gets it back with the
   * answer. Older kernels know no flags. */
  (void) ioctl (listener, SECCOMP_IOCTL_NOTIF_SET_FLAGS, SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP);
  while (!is_over ())
    {
      memset (call, 0, call_size);
      memset (response, 0, response_size);
      if (ioctl (listener, SECCOMP_IOCTL_NOTIF_RECV, call) < 0)
        {
          if (errno == EINTR || errno == ENOENT)
            continue;
          die_errno ("cannot receive a system call");
        }
      struct answer answer = give (call);
      if (answer.done)
        continue;
      response->id = call->id;
      response->flags = answer.carry_on ? SECCOMP_USER_NOTIF_FLAG_CONTINUE : 0;
      response->error = answer.carry_on ? 0 : -answer.error;
      response->val = answer.carry_on || answer.error != 0 ? 0 : answer.value;
      /* ENOENT: the process was killed while it waited. */
      if (ioctl (listener, SECCOMP_IOCTL_NOTIF_SEND, response) < 0 && errno != ENOENT)
        die_errno ("cannot answer a system call");
    }
  free (call);
  free (response);
}

/* False where the command ended before it had a filter. */
static bool
receive_listener (int socket)
{
  char byte, control[CMSG_SPACE (sizeof (int))];
  struct iovec part = { &byte, 1 };
  struct msghdr message = { .msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control };
  ssize_t n;
  do
    n = recvmsg (socket, &message, MSG_CMSG_CLOEXEC);
  while (n < 0 && errno == EINTR);
  struct cmsghdr *head = n == 1 ? CMSG_FIRSTHDR (&message) : NULL;
  if (head == NULL || head->cmsg_type != SCM_RIGHTS)
    return false;
  memcpy (&listener, CMSG_DATA (head), sizeof listener);
  return true;
}

/* The command's side, between the filter's installation and exec. */
void
hand_listener_over (int fd, int socket)
{
  char byte = 0, control[CMSG_SPACE (sizeof (int))] = { 0 };
  struct iovec part = { &byte, 1 };
  struct msghdr message = { .msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control };
  struct cmsghdr *head = CMSG_FIRSTHDR (&message);
  head->cmsg_level = SOL_SOCKET;
  head->cmsg_type = SCM_RIGHTS;
  head->cmsg_len = CMSG_LEN (sizeof fd);
  memcpy (CMSG_DATA (head), &fd, sizeof fd);
  if (sendmsg (socket, &message, MSG_NOSIGNAL) != 1)
    die_errno ("cannot hand the command's system calls over");
  (void) close (fd);
}

/* Returns the process that answers. It is outside of the container and undumpable, as its parent is. */
pid_t
start_answering (struct plan *plan, const struct answering *answering)
{
  int sockets[2];
  if (socketpair (AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets) < 0)
    die_errno ("cannot make a socket for stopped system calls");
  pid_t pid = fork ();
  if (pid < 0)
    die_errno ("cannot start a process to answer system calls");
  if (pid == 0)
    {
      (void) close (sockets[1]);
      if (prctl (PR_SET_PDEATHSIG, SIGKILL) < 0)
        die_errno ("cannot tie our life to the supervisor's");
      answering->prepare (plan);
      if (receive_listener (sockets[0]))
        answer_calls (answering->give);
      _exit (0);
    }
  (void) close (sockets[0]);
  plan->listener_socket = sockets[1];
  return pid;
}
