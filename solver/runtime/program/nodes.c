/* The device nodes of /dev. They are inodes of the step's own, so that it
 * may change their owner, mode and times, or replace them. Where nodes
 * cannot be made (a user namespace) the host's are bound, through mounts
 * that are read-only: the device can still be written to, and the inode
 * cannot be changed. */
#include "runtime.h"

#include "kernel.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

enum { NAME_SIZE = 300 };

static bool
make_node (int directory, const char *name, const struct step *step)
{
  if (mknodat (directory, name, step->mode, step->device) < 0)
    return false;
  if (fchownat (directory, name, step->uid, step->gid, AT_SYMLINK_NOFOLLOW) < 0
      || fchmodat (directory, name, step->mode & 07777, 0) < 0)
    die_errno ("cannot give the device node %s its owner and mode", name);
  return true;
}

/* Makes, in the supervisor, a tmpfs with nodes for a step that cannot have
 * them in its /dev, because its user namespace may not make any or because
 * every device is closed to it. They are bound from there. Numbers serve as
 * names. */
void
make_spare_nodes (struct plan *plan)
{
  plan->spare_nodes = -1;
  for (size_t i = 0; i < plan->step_count; i++)
    {
      const struct step *step = &plan->steps[i];
      char name[24];
      if (step->kind != STEP_DEVICE || (plan->uid_map == NULL && (step->attributes & MOUNT_ATTR_NODEV) == 0))
        continue;
      if (plan->spare_nodes < 0)
        plan->spare_nodes = new_filesystem ("tmpfs", "mode=700", MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC);
      (void) snprintf (name, sizeof name, "%zu", i);
      if (make_node (plan->spare_nodes, name, step))
        continue;
      if (errno != EPERM && errno != EACCES)
        die_errno ("cannot make the device node %s", step->target);
      (void) close (plan->spare_nodes);
      plan->spare_nodes = -1;
      return;
    }
}

static void
bind_node (const struct plan *plan, int root_fd, const struct step *step, struct shared *shared)
{
  struct mount_attr attributes = { .attr_set = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC };
  char name[NAME_SIZE];
  cleanup_fd int spare = -1;

  if (plan->spare_nodes >= 0)
    {
      (void) snprintf (name, sizeof name, "%td", step - plan->steps);
      spare = sys_open_tree (plan->spare_nodes, name, OPEN_TREE_CLONE);
    }
  else
    {
      (void) snprintf (name, sizeof name, "/dev/%.250s", strncmp (step->target, "/dev/", 5) == 0 ? step->target + 5 : "");
      spare = sys_open_tree (AT_FDCWD, name, OPEN_TREE_CLONE);
      attributes.attr_set |= MOUNT_ATTR_RDONLY;
      if (spare < 0 && step->optional && errno == ENOENT)
        return;
    }
  if (spare < 0 || sys_mount_setattr (spare, 0, &attributes) < 0)
    die_errno ("cannot bind the device node %s", step->target);
  cleanup_fd int target = open_mount_point (root_fd, step->target, false, shared);
  if (sys_move_mount (spare, target) < 0)
    die_errno ("cannot mount the device node %s", step->target);
}

/* A mount of the step's own at the name stays. */
void
add_device (const struct plan *plan, int root_fd, const struct step *step, struct shared *shared)
{
  char parent_path[NAME_SIZE];
  const char *name = strrchr (step->target, '/');
  if (name == NULL
      || (size_t) snprintf (parent_path, sizeof parent_path, "%.*s", (int) (name - step->target), step->target)
           >= sizeof parent_path)
    die ("%s cannot be the path of a device node", step->target);
  name++;
  cleanup_fd int parent = open_mount_point (root_fd, parent_path, true, shared);
  struct stat status;
  if (fstatat (parent, name, &status, AT_SYMLINK_NOFOLLOW) == 0)
    return;
  /* Never on what outlives the step. */
  if (!is_temporary (parent, shared))
    die ("cannot make the device node %s: %s is no tmpfs of the step", step->target, parent_path);
  bool bound = plan->uid_map != NULL || (step->attributes & MOUNT_ATTR_NODEV) != 0;
  if (!bound && make_node (parent, name, step))
    return;
  if (!bound && errno != EPERM && errno != EACCES)
    die_errno ("cannot make the device node %s", step->target);
  bind_node (plan, root_fd, step, shared);
}
