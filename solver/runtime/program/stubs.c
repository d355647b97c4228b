/* Mount points that the tree lacks. They are made, remembered, and removed again when everything inside is dead, with
 * the times of the directory that held them put back: a layer must not show what was mounted on it. */
#include "../../../lib/native/owner-record.h"
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
  /* The descriptor stays open in PID 1 and the supervisor: they share one
   * table. */
  stub->parent = fcntl (parent, F_DUPFD_CLOEXEC, 0);
  if (stub->parent < 0)
    die_errno ("cannot keep a directory of the image open");
  stub->is_directory = is_directory;
  if (strlen (name) >= sizeof stub->name)
    die ("a mount point's name is too long: %s", name);
  memcpy (stub->name, name, strlen (name) + 1);
  shared->stub_count++;
}

static void
make_component (int root_fd, const char *parent_path, const char *name, bool is_directory, struct shared *shared)
{
  struct timespec times[2];
  cleanup_fd int parent = open_in_root (root_fd, *parent_path == '\0' ? "/" : parent_path, O_RDONLY | O_DIRECTORY, 0);
  if (parent < 0)
    die_errno ("cannot open %s in the image to make a mount point in it", parent_path);
  bool have_times = times_of (parent, times);

  cleanup_fd int file = -1;
  if (is_directory ? mkdirat (parent, name, 0755) < 0
                   : (file = openat (parent, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644)) < 0)
    {
      /* Another step that has the same cache mounted may have been faster. */
      if (errno == EEXIST)
        return;
      die_errno ("cannot make the %s %s/%s in the image", is_directory ? "directory" : "file", parent_path, name);
    }
  if (shared != NULL && have_times)
    (void) futimens (parent, times);
  remember (shared, parent, name, is_directory);
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

/* The rest of a path, and the number of links expanded in it. */
struct way
{
  char rest[MAX_PATH];
  unsigned int links;
};

enum { MAX_LINKS = 40 }; /* as the kernel */

/* Takes the first component. False at the end. */
static bool
next_component (struct way *way, char name[MAX_PATH])
{
  char *start = way->rest + strspn (way->rest, "/");
  size_t length = strcspn (start, "/");
  (void) snprintf (name, MAX_PATH, "%.*s", (int) length, start);
  memmove (way->rest, start + length, strlen (start + length) + 1);
  return length > 0;
}

static bool
is_last (const struct way *way)
{
  return way->rest[strspn (way->rest, "/")] == '\0';
}

/* If `name` is a link that leads nowhere, its text is the way from here on: what is missing is then made where it leads. */
static bool
enter_dangling_link (int root_fd, char prefix[MAX_PATH], const char *name, struct way *way)
{
  char text[MAX_PATH], joined[2 * MAX_PATH];
  cleanup_fd int parent = open_in_root (root_fd, *prefix == '\0' ? "/" : prefix, O_PATH | O_DIRECTORY, 0);
  ssize_t n = parent < 0 ? -1 : readlinkat (parent, name, text, sizeof text - 1);
  if (n < 0)
    return false;
  text[n] = '\0';
  (void) snprintf (joined, sizeof joined, "%s/%s", text, way->rest);
  if (++way->links > MAX_LINKS || strlen (joined) >= sizeof way->rest)
    {
      errno = ELOOP;
      die_errno ("cannot follow the link %s/%s in the image", prefix, name);
    }
  (void) strcpy (way->rest, joined);
  if (*text == '/')
    *prefix = '\0';
  return true;
}

/* Walks `target` from the root, making what is missing and giving each new directory its owner. Every prefix is resolved anew
 * inside the root, so a link anywhere leads where it would lead a process inside, and ".." of a link's text goes no higher. */
static void
make_path (int root_fd, const char *target, bool is_directory, struct shared *shared, const struct new_owner *owner)
{
  char prefix[MAX_PATH] = "", name[MAX_PATH];
  struct way way = { .links = 0 };
  if ((size_t) snprintf (way.rest, sizeof way.rest, "%s", target) >= sizeof way.rest)
    die ("the path %.100s... is longer than the kernel takes", target);

  while (next_component (&way, name))
    {
      char path[MAX_PATH];
      if (strlen (name) > 255 || (size_t) snprintf (path, sizeof path, "%s/%s", prefix, name) >= sizeof path)
        die ("%s cannot be a path in the image", target);

      cleanup_fd int there = open_in_root (root_fd, path, O_PATH, 0);
      if (there < 0 && errno != ENOENT)
        die_errno ("cannot open %s in the image", path);
      if (there < 0)
        {
          if (enter_dangling_link (root_fd, prefix, name, &way))
            continue;
          make_component (root_fd, prefix, name, !is_last (&way) || is_directory, shared);
          if (owner != NULL)
            {
              cleanup_fd int directory = open_in_root (root_fd, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
              if (directory < 0 || give (directory, owner) < 0 || fchmod (directory, 0755) < 0)
                die_errno ("cannot give %s in the image its owner", path);
            }
        }
      (void) strcpy (prefix, path);
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
