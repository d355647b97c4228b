/* Mount points that the tree lacks. They are made, remembered, and removed again when everything inside is dead, with
 * the times of the directory that held them put back: a layer must not show what was mounted on it. */
#include "../../src/native/owner-record.h"
#include "runtime.h"

#include "kernel.h"
#include <errno.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <sys/statfs.h>

enum { MAX_PATH = 4096 };

static bool
times_of (int fd, struct timespec times[2])
{
  struct stat before;
  if (fstat (fd, &before) < 0)
    return false;
  times[0] = before.st_atim;
  times[1] = before.st_mtim;
  return true;
}

/* Our own tmpfs mounts vanish by themselves, so nothing made on them is worth remembering. A store may lie on another one. */
bool
is_temporary (int fd, const struct shared *shared)
{
  struct statfs file_system;
  struct stat status;
  return fstatfs (fd, &file_system) == 0 && file_system.f_type == TMPFS_MAGIC && fstat (fd, &status) == 0
         && status.st_dev != shared->store_device;
}

static void
remember (struct shared *shared, int parent, const char *name, bool is_directory)
{
  if (shared == NULL || is_temporary (parent, shared))
    return;
  if (shared->stub_count == MAX_STUBS)
    die ("more than %d mount points are missing in the image", MAX_STUBS);
  struct stub *stub = &shared->stubs[shared->stub_count];
  /* The descriptor stays open in PID 1 and the supervisor, who share one table. */
  stub->parent = fcntl (parent, F_DUPFD_CLOEXEC, 0);
  if (stub->parent < 0)
    die_errno ("cannot keep a directory of the image open");
  stub->is_directory = is_directory;
  (void) snprintf (stub->name, sizeof stub->name, "%s", name);
  shared->stub_count++;
}

/* `prefix` is the path so far, `name` its last component. Returns whether it had to be made. */
static bool
make_component (int root_fd, const char *parent_path, const char *name, bool is_directory, struct shared *shared)
{
  struct timespec times[2];
  cleanup_fd int parent = open_in_root (root_fd, *parent_path == '\0' ? "/" : parent_path, O_RDONLY | O_DIRECTORY, 0);
  if (parent < 0)
    die_errno ("cannot open %s in the image to make a mount point in it", parent_path);
  bool have_times = times_of (parent, times);

  if (is_directory)
    {
      if (mkdirat (parent, name, 0755) < 0)
        {
          if (errno == EEXIST)
            return false;
          die_errno ("cannot make the directory %s/%s in the image", parent_path, name);
        }
    }
  else
    {
      cleanup_fd int file = openat (parent, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);
      if (file < 0)
        die_errno ("cannot make the file %s/%s in the image", parent_path, name);
    }
  if (shared != NULL && have_times)
    (void) futimens (parent, times);
  remember (shared, parent, name, is_directory);
  return true;
}

struct new_owner
{
  struct owner_record record;
  bool pretend; /* write it down instead: see owner-record.h */
};

static int
give (int directory, const struct new_owner *owner)
{
  char text[OWNER_TEXT];
  if (!owner->pretend)
    return fchown (directory, owner->record.uid, owner->record.gid);
  if (is_default_owner (&owner->record))
    return 0;
  return fsetxattr (directory, OWNER_ATTRIBUTE, text, format_owner (&owner->record, text), 0);
}

/* Walks `target` from the root, making what is missing and handing each new directory to `made`. Every prefix is
 * resolved anew inside the root, so a link anywhere leads where it would lead a process inside. */
static void
make_path (int root_fd, const char *target, bool is_directory, struct shared *shared, const struct new_owner *owner)
{
  char prefix[MAX_PATH] = "", copy[MAX_PATH];
  char *rest = NULL;
  if ((size_t) snprintf (copy, sizeof copy, "%s", target) >= sizeof copy)
    die ("the path %.100s... is longer than the kernel takes", target);

  for (char *name = strtok_r (copy, "/", &rest); name != NULL;)
    {
      char *next = strtok_r (NULL, "/", &rest);
      char path[MAX_PATH];
      if (strcmp (name, "..") == 0 || strlen (name) > 255
          || (size_t) snprintf (path, sizeof path, "%s/%s", prefix, name) >= sizeof path)
        die ("%s cannot be a path in the image", target);

      cleanup_fd int there = open_in_root (root_fd, path, O_PATH, 0);
      if (there < 0 && errno != ENOENT)
        die_errno ("cannot open %s in the image", path);
      if (there < 0)
        {
          bool made = make_component (root_fd, prefix, name, next != NULL || is_directory, shared);
          if (!made)
            die ("cannot make %s in the image: it is a symbolic link that leads nowhere", path);
          if (owner != NULL)
            {
              cleanup_fd int directory = open_in_root (root_fd, path, O_RDONLY | O_DIRECTORY, RESOLVE_NO_SYMLINKS);
              if (directory < 0 || give (directory, owner) < 0 || fchmod (directory, 0755) < 0)
                die_errno ("cannot give %s in the image its owner", path);
            }
        }
      (void) strcpy (prefix, path);
      name = next;
    }
}

/* An O_PATH descriptor to mount on. A file cannot be mounted on a directory, nor the other way round. */
int
open_mount_point (int root_fd, const char *target, bool is_directory, struct shared *shared)
{
  struct stat status;
  int fd = open_in_root (root_fd, target, O_PATH, 0);
  if (fd < 0 && errno == ENOENT)
    {
      make_path (root_fd, target, is_directory, shared, NULL);
      fd = open_in_root (root_fd, target, O_PATH, 0);
    }
  if (fd < 0)
    die_errno ("cannot open mount point %s in the image", target);
  if (fstat (fd, &status) < 0)
    die_errno ("cannot look at mount point %s in the image", target);
  if (is_directory != S_ISDIR (status.st_mode))
    die ("cannot mount a %s on %s: in the image that is a %s", is_directory ? "directory" : "file", target,
         is_directory ? "file" : "directory");
  return fd;
}

/* Unlike a mount point, a missing working directory is the command's own: it stays, and belongs to its user. */
void
make_working_directory (int root_fd, const struct step *step, bool pretend)
{
  cleanup_fd int there = open_in_root (root_fd, step->target, O_PATH | O_DIRECTORY, 0);
  if (there < 0 && errno == ENOENT)
    {
      struct new_owner owner = { .record = { .uid = step->uid, .gid = step->gid }, .pretend = pretend };
      make_path (root_fd, step->target, true, NULL, &owner);
    }
  else if (there < 0)
    die_errno ("cannot use %s as the working directory", step->target);
}

/* Last made, first removed. What is no longer empty was written to by the command and stays. */
void
remove_stubs (struct shared *shared)
{
  size_t count = shared->stub_count < MAX_STUBS ? shared->stub_count : MAX_STUBS;
  while (count > 0)
    {
      struct stub *stub = &shared->stubs[--count];
      struct timespec times[2];
      struct stat status;
      bool have_times = times_of (stub->parent, times);
      bool removed = false;

      if (stub->is_directory)
        removed = unlinkat (stub->parent, stub->name, AT_REMOVEDIR) == 0;
      else if (fstatat (stub->parent, stub->name, &status, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG (status.st_mode)
               && status.st_size == 0)
        removed = unlinkat (stub->parent, stub->name, 0) == 0;
      if (removed && have_times)
        (void) futimens (stub->parent, times);
      (void) close (stub->parent);
    }
  shared->stub_count = 0;
}
