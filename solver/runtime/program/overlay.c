/* Trees become detached mounts: nothing is attached anywhere yet, so the host never sees them, and closing the
 * descriptor unmounts. */
#include "runtime.h"

#include "kernel.h"
#include <errno.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int
open_directory (const char *path)
{
  int fd = open (path, O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0)
    die_errno ("cannot open %s to mount it", path);
  return fd;
}

/* Our overlay options name directories as /proc/self/fd/<n>: short whatever the real path is, free of the characters
 * (colon, comma, backslash) that overlayfs gives a meaning to, and nothing of the host's layout shows inside. */
static bool
add_directory (int context, const char *key, const char *path)
{
  char name[40];
  cleanup_fd int fd = open_directory (path);
  (void) snprintf (name, sizeof name, "/proc/self/fd/%d", fd);
  if (sys_fsconfig (context, FSCONFIG_SET_STRING, key, name) == 0)
    return true;
  /* "lowerdir+" came with Linux 6.7. A directory that is really bad is reported by the other way. */
  return false;
}

static bool
add_options (int context, const char *options)
{
  char copy[256], *rest = NULL;
  (void) snprintf (copy, sizeof copy, "%s", options);
  for (char *option = strtok_r (copy, ",", &rest); option != NULL; option = strtok_r (NULL, ",", &rest))
    {
      char *value = strchr (option, '=');
      if (value != NULL)
        *value++ = '\0';
      if (sys_fsconfig (context, value == NULL ? FSCONFIG_SET_FLAG : FSCONFIG_SET_STRING, option, value) < 0)
        return false;
    }
  return true;
}

/* The new mount API takes one lower directory per call, so 500 of them are no problem. -1 where it cannot do it. */
static int
overlay_by_context (const struct tree *tree)
{
  cleanup_fd int context = sys_fsopen ("overlay");
  if (context < 0)
    return -1;
  for (size_t i = 0; i < tree->lower_count; i++)
    if (!add_directory (context, "lowerdir+", tree->lowers[i]))
      return -1;
  if (*tree->upper != '\0'
      && (!add_directory (context, "upperdir", tree->upper) || !add_directory (context, "workdir", tree->work)))
    return -1;
  (void) sys_fsconfig (context, FSCONFIG_SET_STRING, "source", "overlay"); /* what `df` and `mount` show */
  if (!add_options (context, tree->options) || sys_fsconfig (context, FSCONFIG_CMD_CREATE, NULL, NULL) < 0)
    return -1;
  return sys_fsmount (context, (unsigned int) tree->attributes);
}

struct line
{
  char text[4096];
  size_t used;
};

static void __attribute__ ((format (printf, 2, 3)))
append (struct line *line, const char *format, ...)
{
  va_list arguments;
  va_start (arguments, format);
  int n = vsnprintf (line->text + line->used, sizeof line->text - line->used, format, arguments);
  va_end (arguments);
  if (n < 0 || (size_t) n >= sizeof line->text - line->used)
    die ("an overlay of so many directories does not fit the kernel's mount options; merge some layers");
  line->used += (size_t) n;
}

/* mount(2) takes one page of options. With /proc/self/fd as the current directory a lower is only "123:", so a page
 * holds as many as overlayfs accepts. It has to be attached somewhere, so it happens in a mount namespace of our own. */
static int
overlay_by_mount (const struct plan *plan, const struct tree *tree)
{
  struct line options = { .used = 0 };
  static bool have_namespace;

  if (!have_namespace)
    {
      current_part = "mounts";
      if (unshare (CLONE_NEWNS) < 0 || sys_mount (NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
        die_errno ("cannot make a private mount namespace");
      have_namespace = true;
      current_part = "overlay";
    }

  int *fds = calloc (tree->lower_count + 2, sizeof *fds);
  if (fds == NULL)
    die_errno ("cannot hold the list of layers in memory");
  size_t fd_count = 0;
  for (size_t i = 0; i < tree->lower_count; i++)
    {
      fds[fd_count] = open_directory (tree->lowers[i]);
      append (&options, "%s%d", i == 0 ? "lowerdir=" : ":", fds[fd_count++]);
    }
  if (*tree->upper != '\0')
    {
      fds[fd_count] = open_directory (tree->upper);
      append (&options, ",upperdir=%d", fds[fd_count++]);
      fds[fd_count] = open_directory (tree->work);
      append (&options, ",workdir=%d", fds[fd_count++]);
    }
  if (*tree->options != '\0')
    append (&options, ",%s", tree->options);

  cleanup_fd int before = open (".", O_PATH | O_DIRECTORY | O_CLOEXEC);
  char target[4096];
  (void) snprintf (target, sizeof target, "%s/tree", plan->scratch);
  if (before < 0 || chdir ("/proc/self/fd") < 0)
    die_errno ("cannot go to /proc/self/fd (is /proc mounted?)");
  if (sys_mount ("overlay", target, "overlay", 0, options.text) < 0)
    die_errno ("cannot mount an overlay of %zu directories (upper %s)", tree->lower_count,
               *tree->upper != '\0' ? tree->upper : "none");
  if (fchdir (before) < 0)
    die_errno ("cannot return to the working directory");
  while (fd_count > 0)
    (void) close (fds[--fd_count]);
  free (fds);

  int fd = sys_open_tree (AT_FDCWD, target, OPEN_TREE_CLONE);
  if (fd < 0)
    die_errno ("cannot pick up the overlay at %s", target);
  if (syscall (SYS_umount2, target, MNT_DETACH) < 0)
    die_errno ("cannot detach %s", target);
  return fd;
}

static int
directory_tree (const char *path)
{
  int fd = sys_open_tree (AT_FDCWD, path, OPEN_TREE_CLONE);
  if (fd < 0)
    die_errno ("cannot open %s to mount it", path);
  return fd;
}

void
open_tree_mounts (struct plan *plan)
{
  for (size_t i = 0; i < plan->tree_count; i++)
    {
      struct tree *tree = plan->trees[i];
      struct mount_attr attributes = { .attr_set = tree->attributes };
      current_part = tree->directory != NULL ? "mounts" : "overlay";
      if (tree->directory != NULL)
        tree->fd = directory_tree (tree->directory);
      else if ((tree->fd = overlay_by_context (tree)) < 0)
        tree->fd = overlay_by_mount (plan, tree);
      if (sys_mount_setattr (tree->fd, 0, &attributes) < 0)
        die_errno ("cannot set the flags of a mounted tree (needs Linux 5.12)");
      current_part = NULL;
    }
}
