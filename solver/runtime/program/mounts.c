/* The work of PID 1 in its own mount namespace before it becomes the root of
 * it: attach the root, go through the steps, pivot. Until the pivot "/" is
 * the host's, so host paths are opened by name and paths of the image never
 * are. */
#include "runtime.h"

#include "kernel.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

/* `name` is "root" or "tree": the two empty directories of the scratch directory. Mounts on them exist only in this
 * mount namespace, so any number of containers use the same two. */
static void
attach_to_scratch (const struct plan *plan, int fd, const char *name)
{
  char path[4096];
  (void) snprintf (path, sizeof path, "%s/%s", plan->scratch, name);
  cleanup_fd int target = open (path, O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (target < 0)
    die_errno ("cannot open the scratch directory %s", path);
  if (sys_move_mount (fd, target) < 0)
    die_errno ("cannot attach a mount at %s", path);
}

/* Nothing mounted from here on may reach the host, nor the other way round. */
void
attach_root (const struct plan *plan)
{
  current_part = "mounts";
  if (sys_mount (NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
    die_errno ("cannot make the mounts private");
  attach_to_scratch (plan, plan->root->fd, "root");
  /* Linux before 6.15 clones only what is attached. */
  if (plan->spare_nodes >= 0)
    attach_to_scratch (plan, plan->spare_nodes, "tree");
  current_part = NULL;
}

static void
move_to (int fd, int root_fd, const struct step *step, bool is_directory, struct shared *shared)
{
  cleanup_fd int target = open_mount_point (root_fd, step->target, is_directory, shared);
  if (sys_move_mount (fd, target) < 0)
    die_errno ("cannot mount on %s", step->target);
}

static bool
is_directory (int fd, const char *what)
{
  struct stat status;
  if (fstat (fd, &status) < 0)
    die_errno ("cannot look at %s", what);
  return S_ISDIR (status.st_mode);
}

/* The clone gets its flags before it is attached, so there is no moment at which it can be written through. */
static void
bind_host_path (int root_fd, const struct step *step, struct shared *shared)
{
  unsigned int recursive = step->recursive ? AT_RECURSIVE : 0;
  struct mount_attr attributes = { .attr_set = step->attributes };
  cleanup_fd int fd = sys_open_tree (AT_FDCWD, step->source, OPEN_TREE_CLONE | recursive);
  if (fd < 0 && step->optional && errno == ENOENT)
    return;
  if (fd < 0)
    die_errno ("cannot open %s to mount it on %s", step->source, step->target);
  if (sys_mount_setattr (fd, recursive, &attributes) < 0)
    die_errno ("cannot set the flags of the mount on %s", step->target);
  move_to (fd, root_fd, step, is_directory (fd, step->source), shared);
}

/* A path inside another tree. Linux before 6.15 clones only what is attached, so on those the tree is attached first. */
static void
bind_tree (const struct plan *plan, int root_fd, const struct step *step, struct shared *shared)
{
  struct mount_attr attributes = { .attr_set = step->attributes };
  int tree_fd = step->tree->fd;
  if (strcmp (step->source, "/") == 0)
    {
      if (sys_mount_setattr (tree_fd, 0, &attributes) < 0)
        die_errno ("cannot set the flags of the mount on %s", step->target);
      move_to (tree_fd, root_fd, step, true, shared);
      return;
    }

  cleanup_fd int source = open_in_root (tree_fd, step->source, O_PATH, 0);
  if (source < 0)
    die_errno ("cannot find %s, which is to be mounted on %s", step->source, step->target);
  int fd = sys_open_tree (source, "", OPEN_TREE_CLONE | AT_EMPTY_PATH);
  if (fd < 0 && errno == EINVAL)
    {
      attach_to_scratch (plan, tree_fd, "tree");
      fd = sys_open_tree (source, "", OPEN_TREE_CLONE | AT_EMPTY_PATH);
    }
  if (fd < 0 || sys_mount_setattr (fd, 0, &attributes) < 0)
    die_errno ("cannot clone %s for the mount on %s", step->source, step->target);
  move_to (fd, root_fd, step, is_directory (fd, step->source), shared);
  (void) close (fd);
}

/* All generated files share one tmpfs, of which only the files themselves are ever visible inside. */
static void
mount_generated_file (const struct plan *plan, int root_fd, const struct step *step, struct shared *shared)
{
  static int files = -1;
  if (files < 0)
    {
      files = new_filesystem ("tmpfs", "mode=700", MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV);
      attach_to_scratch (plan, files, "tree");
    }
  cleanup_fd int fd = generated_file (step, files, plan->owner_records != NULL);
  move_to (fd, root_fd, step, false, shared);
}

/* A directory that is made only to be mounted on has the mode of /tmp. */
static mode_t
mode_to_keep (int root_fd, const char *target)
{
  struct stat status;
  cleanup_fd int there = open_in_root (root_fd, target, O_PATH, 0);
  return there >= 0 && fstat (there, &status) == 0 ? status.st_mode & 07777 : 01777;
}

static void
mount_filesystem (int root_fd, const struct step *step, struct shared *shared)
{
  char options[256];
  const char *separator = *step->options == '\0' ? "" : ",";
  int n = step->keeps_mode ? snprintf (options, sizeof options, "%s%smode=%o", step->options, separator,
                                       mode_to_keep (root_fd, step->target))
                           : snprintf (options, sizeof options, "%s", step->options);
  if (n < 0 || (size_t) n >= sizeof options)
    die ("the options of the file system on %s are too long", step->target);
  current_part = step->source;
  cleanup_fd int fd = new_filesystem (step->source, options, step->attributes);
  current_part = NULL;
  move_to (fd, root_fd, step, true, shared);
}

static void
make_symlink (int root_fd, const struct step *step)
{
  char parent_path[4096];
  const char *slash = strrchr (step->target, '/');
  if (slash == NULL || (size_t) snprintf (parent_path, sizeof parent_path, "%.*s", (int) (slash - step->target), step->target)
                         >= sizeof parent_path)
    die ("%s cannot be a path in the image", step->target);
  cleanup_fd int parent = open_in_root (root_fd, *parent_path == '\0' ? "/" : parent_path, O_PATH | O_DIRECTORY, 0);
  if (parent < 0 || (symlinkat (step->source, parent, slash + 1) < 0 && errno != EEXIST))
    die_errno ("cannot make the symbolic link %s", step->target);
}

void
run_steps (const struct plan *plan, int root_fd, struct shared *shared)
{
  for (size_t i = 0; i < plan->step_count; i++)
    {
      const struct step *step = &plan->steps[i];
      switch (step->kind)
        {
        case STEP_BIND:
          bind_host_path (root_fd, step, shared);
          break;
        case STEP_TREE:
          bind_tree (plan, root_fd, step, shared);
          break;
        case STEP_FILESYSTEM:
          mount_filesystem (root_fd, step, shared);
          break;
        case STEP_FILE:
          mount_generated_file (plan, root_fd, step, shared);
          break;
        case STEP_SYMLINK:
          make_symlink (root_fd, step);
          break;
        case STEP_MASK:
          mask (root_fd, step->target);
          break;
        case STEP_READ_ONLY:
          make_read_only (root_fd, step->target);
          break;
        case STEP_WORKING_DIRECTORY:
          make_working_directory (root_fd, step, plan->owner_records != NULL);
          break;
        case STEP_DEVICE:
          add_device (plan, root_fd, step, shared);
          break;
        }
    }
}

/* pivot_root(".", ".") stacks the old root on top of the new one; detaching "." then takes it away, and with it every
 * mount of the host and the scratch directory. There is no way back out. */
void
pivot_into (int root_fd)
{
  if (fchdir (root_fd) < 0)
    die_errno ("cannot enter the image's root");
  current_part = "pivot_root";
  if (syscall (SYS_pivot_root, ".", ".") < 0)
    die_errno ("cannot make the image the root (is the host's own root a ramfs?)");
  current_part = NULL;
  if (syscall (SYS_umount2, ".", MNT_DETACH) < 0)
    die_errno ("cannot let go of the host's root");
  if (chdir ("/") < 0)
    die_errno ("cannot enter the new root");
}

/* Moves the new root on top of the old one, where pivot_root is not allowed
 * or the root is a ramfs. ".." from below a chroot leads to the topmost
 * mount on "/", which is the image's, so the old root stays out of reach. */
void
move_over_root (int root_fd)
{
  if (fchdir (root_fd) < 0)
    die_errno ("cannot enter the image's root");
  current_part = "moved root";
  cleanup_fd int old_root = open ("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (old_root < 0 || sys_move_mount (root_fd, old_root) < 0 || chroot (".") < 0)
    die_errno ("cannot move the image over the root");
  current_part = NULL;
  if (chdir ("/") < 0)
    die_errno ("cannot enter the new root");
}
