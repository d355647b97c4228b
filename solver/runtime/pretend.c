/* Owners and users other than one, in a user namespace that has only one. The filter stops the few system calls that
 * would need more (seccomp's user notification) and this process, outside of the container, answers them:
 *
 *   chown and its kin          the owner is written down with the file (owner-record.h); layers are packed with it
 *   setuid, setgroups, ...     succeed by the rules of the kernel; what the process then is, is remembered (identities.c)
 *   getuid, getgroups, ...     tell what it became; before its first change the kernel answers
 *   mkdir, open(O_CREAT), ...  by a process that became somebody else: the file is made here, with that owner written down
 *   mknod of a device          an empty file is made that stands for it
 *
 *   rename, link               go on, with the record of a link that overlayfs copies up on the way
 *   stat and its kin           tell the owner that is written down (stats.c)
 *
 * It is a convenience and no border: whatever is answered here, the kernel still sees the one id. So it does no harm that a
 * process could change a path between our reading it and the kernel's. */
#include "pretend.h"

#include "kernel.h"
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/sysmacros.h>

#ifndef SECCOMP_ADDFD_FLAG_SEND
#define SECCOMP_ADDFD_FLAG_SEND 2
#endif

#ifndef SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP
#define SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP 1UL
#define SECCOMP_IOCTL_NOTIF_SET_FLAGS SECCOMP_IOW (4, uint64_t)
#endif

static int listener = -1;
static bool is_called_root; /* the step's USER is root, so what the kernel shows as its own is root's */

/* The process is still the one that asked, and still waits: its number was not given to another one meanwhile. */
bool
is_still_asking (uint64_t id)
{
  return ioctl (listener, SECCOMP_IOCTL_NOTIF_ID_VALID, &id) == 0;
}

static struct answer
change_owner (const struct seccomp_notif *call, int dirfd, const char *path, bool follow, uint32_t uid, uint32_t gid)
{
  pid_t pid = (pid_t) call->pid;
  cleanup_fd int fd = resolve (pid, dirfd, path, follow);
  if (fd < 0 || !is_still_asking (call->id))
    return LET_THE_KERNEL;
  const struct identity *who = identity_of (pid);
  struct owner_record record = record_of (fd);
  bool gives_away = uid != UINT32_MAX && uid != record.uid;
  bool regroups = gid != UINT32_MAX && gid != record.gid;
  if (who->uid[FILES] != 0 && (gives_away || (regroups && (record.uid != who->uid[FILES] || !is_in_group (who, gid)))))
    return answer_error (EPERM);
  /* To the one id, for what else a change of owner does: setuid bits and capabilities go, the file is copied up. */
  if (fchownat (fd, "", uid == UINT32_MAX ? UINT32_MAX : 0, gid == UINT32_MAX ? UINT32_MAX : 0, AT_EMPTY_PATH) < 0)
    return answer_error (errno);
  if (uid != UINT32_MAX)
    record.uid = uid;
  if (gid != UINT32_MAX)
    record.gid = gid;
  return answer_error (write_record (fd, &record));
}

/* By its true owner, not the one id's: what a real user could not write to, a pretended one cannot either. */
static bool
may_write_into (const struct identity *who, const struct owner_record *owner, mode_t mode)
{
  unsigned int bits = who->uid[FILES] == owner->uid ? mode >> 6 : is_in_group (who, owner->gid) ? mode >> 3 : mode;
  return who->uid[FILES] == 0 || (bits & 3) == 3;
}

/* A new file of the process: its name, what it is, and whose it will be. */
struct creation
{
  const struct seccomp_notif *call;
  int dirfd;
  char path[4096];
  mode_t mode; /* with the type for mknod */
  dev_t device;
  int flags;           /* of open */
  char target[4096];   /* of a symbolic link */
  enum { NEW_DIRECTORY, NEW_NODE, NEW_LINK, NEW_FILE } kind;
};

static int
make (const struct creation *new, int parent, const char *name)
{
  switch (new->kind)
    {
    case NEW_DIRECTORY:
      return mkdirat (parent, name, new->mode & 07777);
    case NEW_NODE:
      if (S_ISCHR (new->mode) || S_ISBLK (new->mode))
        return mknodat (parent, name, S_IFREG | (new->mode & 07777), 0);
      return mknodat (parent, name, new->mode, 0);
    case NEW_LINK:
      return symlinkat (new->target, parent, name);
    case NEW_FILE:
      if ((new->flags & O_TMPFILE) == O_TMPFILE)
        return openat (parent, ".", new->flags | O_CLOEXEC, new->mode & 07777);
      return openat (parent, name, new->flags | O_EXCL | O_NOFOLLOW | O_CLOEXEC, new->mode & 07777);
    }
  return -1;
}

/* Gives the process its descriptor, which is the answer to its call at the same time (Linux 5.14). */
static struct answer
hand_over (const struct creation *new, int fd)
{
  struct seccomp_notif_addfd addition = {
    .id = new->call->id, .flags = SECCOMP_ADDFD_FLAG_SEND, .srcfd = (uint32_t) fd, .newfd_flags = (uint32_t) (new->flags & O_CLOEXEC)
  };
  if (ioctl (listener, SECCOMP_IOCTL_NOTIF_ADDFD, &addition) < 0)
    return answer_error (errno == ENOENT ? EINTR : errno);
  return (struct answer){ .done = true };
}

static struct answer
create (const struct creation *new)
{
  pid_t pid = (pid_t) new->call->pid;
  char name[256] = ".";
  struct stat directory, there;
  bool is_nameless = new->kind == NEW_FILE && (new->flags & O_TMPFILE) == O_TMPFILE;
  cleanup_fd int parent = is_nameless ? resolve (pid, new->dirfd, new->path, true)
                                      : resolve_parent (pid, new->dirfd, new->path, name);
  /* Whatever stands in the way, the kernel finds the right words for it. */
  if (parent < 0 || fstat (parent, &directory) < 0 || !is_still_asking (new->call->id))
    return LET_THE_KERNEL;
  if (!is_nameless && (fstatat (parent, name, &there, AT_SYMLINK_NOFOLLOW) == 0 || errno != ENOENT))
    return LET_THE_KERNEL;
  const struct identity *who = identity_of (pid);
  struct owner_record owner = record_of (parent);
  if (!may_write_into (who, &owner, directory.st_mode))
    return answer_error (EACCES);

  (void) umask (umask_of (pid));
  cleanup_fd int made = make (new, parent, name);
  if (made < 0)
    return errno == EEXIST ? LET_THE_KERNEL : answer_error (errno);
  struct owner_record record = {
    .uid = who->uid[FILES], .gid = (directory.st_mode & S_ISGID) != 0 ? owner.gid : who->gid[FILES]
  };
  if (new->kind == NEW_NODE && (S_ISCHR (new->mode) || S_ISBLK (new->mode)))
    {
      record.node = S_ISCHR (new->mode) ? 'c' : 'b';
      record.major = major (new->device);
      record.minor = minor (new->device);
    }
  if (new->kind == NEW_FILE)
    {
      int error = write_record (made, &record);
      return error != 0 ? answer_error (error) : hand_over (new, made);
    }
  made = -1; /* what the other calls return is no descriptor */
  cleanup_fd int file = openat (parent, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
  return file < 0 ? answer_error (errno) : answer_error (write_record (file, &record));
}

static struct answer
create_as (const struct seccomp_notif *call, struct creation new, uint64_t path)
{
  const struct identity *who = identity_of ((pid_t) call->pid);
  bool is_device = new.kind == NEW_NODE && (S_ISCHR (new.mode) || S_ISBLK (new.mode)) && new.device != 0;
  if (is_device && who->uid[EFFECTIVE] != 0)
    return answer_error (EPERM);
  /* Root's files need no record, so root's calls go on as they are: this is what most of them come to. */
  if (!is_device && who->uid[FILES] == 0 && who->gid[FILES] == 0)
    return LET_THE_KERNEL;
  new.call = call;
  if (!read_path ((pid_t) call->pid, path, new.path) || !is_still_asking (call->id))
    return LET_THE_KERNEL;
  return create (&new);
}

static struct answer
create_link (const struct seccomp_notif *call, uint64_t target, int dirfd, uint64_t path)
{
  struct creation new = { .kind = NEW_LINK, .dirfd = dirfd };
  return read_path ((pid_t) call->pid, target, new.target) ? create_as (call, new, path) : LET_THE_KERNEL;
}

static struct answer
open_new (const struct seccomp_notif *call, int dirfd, uint64_t path, uint64_t flags, uint64_t mode)
{
  bool creates = (flags & O_CREAT) != 0 || (flags & O_TMPFILE) == O_TMPFILE;
  if (!creates || (flags & O_PATH) != 0)
    return LET_THE_KERNEL;
  return create_as (call, (struct creation){ .kind = NEW_FILE, .dirfd = dirfd, .flags = (int) flags, .mode = (mode_t) mode }, path);
}

static struct answer
answer_creation (const struct seccomp_notif *call)
{
  const uint64_t *a = (const uint64_t *) (const void *) call->data.args;
  switch (call->data.nr)
    {
#ifdef SYS_mkdir
    case SYS_mkdir:
      return create_as (call, (struct creation){ .kind = NEW_DIRECTORY, .dirfd = AT_FDCWD, .mode = (mode_t) a[1] }, a[0]);
    case SYS_mknod:
      return create_as (call, (struct creation){ .kind = NEW_NODE, .dirfd = AT_FDCWD, .mode = (mode_t) a[1], .device = a[2] }, a[0]);
    case SYS_symlink:
      return create_link (call, a[0], AT_FDCWD, a[1]);
    case SYS_open:
      return open_new (call, AT_FDCWD, a[0], a[1], a[2]);
    case SYS_creat:
      return open_new (call, AT_FDCWD, a[0], O_CREAT | O_WRONLY | O_TRUNC, a[1]);
#endif
    case SYS_mkdirat:
      return create_as (call, (struct creation){ .kind = NEW_DIRECTORY, .dirfd = (int) a[0], .mode = (mode_t) a[2] }, a[1]);
    case SYS_mknodat:
      return create_as (call, (struct creation){ .kind = NEW_NODE, .dirfd = (int) a[0], .mode = (mode_t) a[2], .device = a[3] }, a[1]);
    case SYS_symlinkat:
      return create_link (call, a[0], (int) a[1], a[2]);
    case SYS_openat:
      return open_new (call, (int) a[0], a[1], a[2], a[3]);
    case SYS_openat2:
      {
        struct open_how how = { 0 };
        if (!read_memory ((pid_t) call->pid, a[2], &how, sizeof how) || how.resolve != 0)
          return LET_THE_KERNEL;
        return open_new (call, (int) a[0], a[1], how.flags, how.mode);
      }
    default:
      return LET_THE_KERNEL;
    }
}

/* A rename or a new name makes overlayfs copy a link of a lower layer up: to a new file, which has no record yet. Files
 * and directories take theirs along. */
static void
carry_record (const struct seccomp_notif *call, int dirfd, uint64_t address)
{
  char path[4096];
  struct stat status;
  if (!read_path ((pid_t) call->pid, address, path) || path[0] == '\0')
    return;
  cleanup_fd int fd = resolve ((pid_t) call->pid, dirfd, path, false);
  if (fd < 0 || fstat (fd, &status) < 0 || S_ISREG (status.st_mode) || S_ISDIR (status.st_mode))
    return;
  struct owner_record record = record_of (fd);
  if (!is_default_owner (&record) && is_still_asking (call->id) && fchownat (fd, "", 0, 0, AT_EMPTY_PATH) == 0)
    (void) write_record (fd, &record);
}

static struct answer
answer_call (const struct seccomp_notif *call)
{
  const uint64_t *a = (const uint64_t *) (const void *) call->data.args;
  pid_t pid = (pid_t) call->pid;
  long number = call->data.nr;
  char path[4096];
  if (!is_still_asking (call->id))
    return LET_THE_KERNEL;
  if (is_question_of_identity (number))
    return is_first_identity (pid) && number != SYS_getgroups ? LET_THE_KERNEL : tell_identity (pid, number, a);
  if (is_change_of_identity (number))
    return change_identity (pid, number, a);
  if (is_question_of_status (number))
    return tell_status (call, is_called_root);
  switch (number)
    {
#ifdef SYS_rename
    case SYS_rename:
    case SYS_link:
      carry_record (call, AT_FDCWD, a[0]);
      return LET_THE_KERNEL;
#endif
#ifdef SYS_renameat
    case SYS_renameat:
#endif
    case SYS_renameat2:
    case SYS_linkat:
      carry_record (call, (int) a[0], a[1]);
      return LET_THE_KERNEL;
    case SYS_chroot:
      roots_may_differ ();
      return LET_THE_KERNEL;
#ifdef SYS_chown
    case SYS_chown:
    case SYS_lchown:
      if (!read_path (pid, a[0], path) || path[0] == '\0')
        return LET_THE_KERNEL;
      return change_owner (call, AT_FDCWD, path, number == SYS_chown, (uint32_t) a[1], (uint32_t) a[2]);
#endif
    case SYS_fchown:
      return change_owner (call, (int) a[0], "", true, (uint32_t) a[1], (uint32_t) a[2]);
    case SYS_fchownat:
      if (!read_path (pid, a[1], path) || (path[0] == '\0' && (a[4] & AT_EMPTY_PATH) == 0))
        return LET_THE_KERNEL;
      return change_owner (call, (int) a[0], path, (a[4] & AT_SYMLINK_NOFOLLOW) == 0, (uint32_t) a[2], (uint32_t) a[3]);
    default:
      return answer_creation (call);
    }
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

static void
answer_calls (void)
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
  /* Linux 6.6: whoever asks hands its processor over, and gets it back with the answer. Older kernels know no flags. */
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
      struct answer answer = answer_call (call);
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

static int
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
    return -1;
  int fd;
  memcpy (&fd, CMSG_DATA (head), sizeof fd);
  return fd;
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

static void __attribute__ ((noreturn))
pretend_until_all_are_gone (const struct plan *plan, int socket)
{
  if (prctl (PR_SET_PDEATHSIG, SIGKILL) < 0)
    die_errno ("cannot tie our life to the supervisor's");
  prepare_callers ();
  prepare_records (plan);
  first_identity (plan);
  is_called_root = plan->uid == 0 && plan->gid == 0;
  listener = receive_listener (socket);
  if (listener >= 0)
    answer_calls ();
  _exit (0);
}

/* Returns the process that answers. It is outside of the container and undumpable, as its parent is. */
pid_t
start_pretending (struct plan *plan)
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
      pretend_until_all_are_gone (plan, sockets[0]);
    }
  (void) close (sockets[0]);
  plan->listener_socket = sockets[1];
  return pid;
}
