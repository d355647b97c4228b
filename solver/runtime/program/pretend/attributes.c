/* getxattr(2) and its kin. What is written down of a file is kept in attributes of it, and those are not to be seen, copied,
 * set or removed: cp -a and rsync -X would give the owner of one file to another. Access control lists are told from, and go
 * to, what is written down; the kernel would refuse ids that it does not know. Anything else is the kernel's. */
#include "pretend.h"

#include "kernel.h"
#include <errno.h>
#include <linux/capability.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/xattr.h>

enum { MAX_VALUE = 65536, MAX_NAME = 256 };

/* A request of any of the twelve calls. The arguments after the file are
 * alike. */
struct request
{
  enum { NOTHING, GET, SET, LIST, REMOVE } kind;
  bool has_path, follow;
};

static struct request
request_of (long call)
{
  switch (call)
    {
    case SYS_getxattr:
      return (struct request){ GET, true, true };
    case SYS_lgetxattr:
      return (struct request){ GET, true, false };
    case SYS_fgetxattr:
      return (struct request){ GET, false, true };
    case SYS_setxattr:
      return (struct request){ SET, true, true };
    case SYS_lsetxattr:
      return (struct request){ SET, true, false };
    case SYS_fsetxattr:
      return (struct request){ SET, false, true };
    case SYS_listxattr:
      return (struct request){ LIST, true, true };
    case SYS_llistxattr:
      return (struct request){ LIST, true, false };
    case SYS_flistxattr:
      return (struct request){ LIST, false, true };
    case SYS_removexattr:
      return (struct request){ REMOVE, true, true };
    case SYS_lremovexattr:
      return (struct request){ REMOVE, true, false };
    case SYS_fremovexattr:
      return (struct request){ REMOVE, false, true };
    default:
      return (struct request){ NOTHING, false, false };
    }
}

bool
is_about_attributes (long call)
{
  return request_of (call).kind != NOTHING;
}

static int
open_subject (const struct seccomp_notif *call, struct request request)
{
  pid_t pid = (pid_t) call->pid;
  char path[4096];
  if (!request.has_path)
    return resolve (pid, (int) call->data.args[0], "", true);
  if (!read_path (pid, call->data.args[0], path) || path[0] == '\0')
    return -1;
  return resolve (pid, AT_FDCWD, path, request.follow);
}

static bool
is_own_record (const char *name)
{
  return strcmp (name, OWNER_ATTRIBUTE) == 0 || strcmp (name, ACCESS_RECORD) == 0 || strcmp (name, DEFAULT_RECORD) == 0;
}

/* Tells whether we answer: our own records, lists, and, where the one id is
 * not called root, capabilities, which only root may set. */
static bool
is_ours (const char *name, bool one_id_is_root)
{
  return is_own_record (name) || (!ids_are_true () && record_of_list (name) != NULL) || (!one_id_is_root && strcmp (name, "security.capability") == 0);
}

/* A value, or only its size, by the rules of getxattr. */
static struct answer
hand_value (const struct seccomp_notif *call, uint64_t address, uint64_t room, const void *value, size_t size)
{
  if (room == 0)
    return answer_value ((int64_t) size);
  if (room < size)
    return answer_error (ERANGE);
  return write_memory ((pid_t) call->pid, address, value, size) ? answer_value ((int64_t) size) : answer_error (EFAULT);
}

static struct answer
get_list (const struct seccomp_notif *call, int fd, const char *record)
{
  static struct access_list list;
  unsigned char bytes[MAX_LIST_SIZE];
  if (!find_list (fd, record, &list))
    return LET_THE_KERNEL;
  return hand_value (call, call->data.args[2], call->data.args[3], bytes, format_list (&list, bytes));
}

static struct answer
set_list (const struct seccomp_notif *call, int fd, const char *record)
{
  static struct access_list list;
  unsigned char bytes[MAX_LIST_SIZE];
  uint64_t size = call->data.args[3];
  const struct identity *caller = identity_of ((pid_t) call->pid);
  struct owner_record owner = record_of (fd);
  struct stat status;
  if (fstat (fd, &status) < 0 || S_ISLNK (status.st_mode) || S_ISFIFO (status.st_mode) || S_ISSOCK (status.st_mode))
    return LET_THE_KERNEL;
  if (size > sizeof bytes || !read_memory ((pid_t) call->pid, call->data.args[2], bytes, size))
    return answer_error (size > sizeof bytes ? ENOSPC : EFAULT);
  if (size == 4 && bytes[0] == 2)
    return answer_error (remove_list (fd, record));
  if (!parse_list (bytes, size, &list))
    return answer_error (EINVAL);
  if (owner.uid != caller->uid[FILES] && !has_capability (caller, CAP_FOWNER))
    return answer_error (EPERM);
  if (strcmp (record, DEFAULT_RECORD) == 0)
    return answer_error (S_ISDIR (status.st_mode) ? write_list (fd, record, &list) : EACCES);
  return answer_error (change_access_list (fd, &list, is_in_group (caller, owner.gid) || has_capability (caller, CAP_FSETID)));
}

/* Works in the namespace in which the one id is root, so that the kernel
 * reads and writes capabilities as root's. */
static struct answer
pass_capability (const struct seccomp_notif *call, int fd, struct request request)
{
  const uint64_t *a = (const uint64_t *) (const void *) call->data.args;
  char value[64], number[16];
  (void) snprintf (number, sizeof number, "%d", fd);
  if (use_own_descriptors () < 0)
    return LET_THE_KERNEL;
  if (request.kind == GET)
    {
      ssize_t size = getxattr (number, "security.capability", value, sizeof value);
      return size < 0 ? answer_error (errno) : hand_value (call, a[2], a[3], value, (size_t) size);
    }
  if (!has_capability (identity_of ((pid_t) call->pid), CAP_SETFCAP))
    return answer_error (EPERM);
  if (request.kind == REMOVE)
    return answer_error (removexattr (number, "security.capability") < 0 ? errno : 0);
  if (a[3] > sizeof value || !read_memory ((pid_t) call->pid, a[2], value, a[3]))
    return answer_error (EINVAL);
  return answer_error (setxattr (number, "security.capability", value, a[3], (int) a[4]) < 0 ? errno : 0);
}

static struct answer
remove_known_list (const struct seccomp_notif *call, int fd, const char *record)
{
  static struct access_list list;
  const struct identity *caller = identity_of ((pid_t) call->pid);
  if (!find_list (fd, record, &list))
    return LET_THE_KERNEL;
  if (record_of (fd).uid != caller->uid[FILES] && !has_capability (caller, CAP_FOWNER))
    return answer_error (EPERM);
  return answer_error (remove_list (fd, record));
}

static struct answer
answer_named (const struct seccomp_notif *call, struct request request, bool one_id_is_root)
{
  char name[4096];
  if (!read_path ((pid_t) call->pid, call->data.args[1], name) || !is_ours (name, one_id_is_root))
    return LET_THE_KERNEL;
  if (is_own_record (name))
    return answer_error (request.kind == SET ? EPERM : ENODATA);
  cleanup_fd int fd = open_subject (call, request);
  if (fd < 0 || !is_still_asking (call->id))
    return LET_THE_KERNEL;
  const char *record = record_of_list (name);
  if (record == NULL)
    return pass_capability (call, fd, request);
  return request.kind == GET   ? get_list (call, fd, record)
         : request.kind == SET ? set_list (call, fd, record)
                               : remove_known_list (call, fd, record);
}

/* Takes our own names out and puts those in that they stand for. Returns the size, or -1 where nothing has changed. */
static ssize_t
translate_names (char *names, size_t size)
{
  size_t kept = 0;
  bool has_access = false, has_default = false, has_owner = false;
  for (size_t next = 0; next < size;)
    {
      size_t length = strnlen (names + next, size - next) + 1;
      bool is_access = strcmp (names + next, ACCESS_RECORD) == 0, is_default = strcmp (names + next, DEFAULT_RECORD) == 0;
      has_access |= is_access;
      has_default |= is_default;
      has_owner |= strcmp (names + next, OWNER_ATTRIBUTE) == 0;
      if (!is_own_record (names + next))
        {
          memmove (names + kept, names + next, length);
          kept += length;
        }
      next += length;
    }
  if (!has_access && !has_default && !has_owner)
    return -1;
  if (has_access)
    kept = (size_t) (stpcpy (names + kept, ACCESS_LIST) - names) + 1;
  if (has_default)
    kept = (size_t) (stpcpy (names + kept, DEFAULT_LIST) - names) + 1;
  return (ssize_t) kept;
}

static struct answer
list_names (const struct seccomp_notif *call, struct request request)
{
  static char names[MAX_VALUE + 2 * MAX_NAME];
  char number[16];
  cleanup_fd int fd = open_subject (call, request);
  if (fd < 0 || use_own_descriptors () < 0)
    return LET_THE_KERNEL;
  (void) snprintf (number, sizeof number, "%d", fd);
  ssize_t size = listxattr (number, names, MAX_VALUE);
  ssize_t translated = size <= 0 ? -1 : translate_names (names, (size_t) size);
  if (translated < 0 || !is_still_asking (call->id))
    return LET_THE_KERNEL;
  return hand_value (call, call->data.args[1], call->data.args[2], names, (size_t) translated);
}

struct answer
answer_attributes (const struct seccomp_notif *call, bool one_id_is_root)
{
  struct request request = request_of (call->data.nr);
  return request.kind == LIST ? list_names (call, request) : answer_named (call, request, one_id_is_root);
}
