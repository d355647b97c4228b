/* Reads the plan: a decimal length and a newline, then that many bytes of NUL-terminated strings. A directive is its
 * name followed by a fixed number of arguments; the ones that carry bytes give their number first. */
#include "runtime.h"

#include <errno.h>
#include <linux/mount.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>

enum { MAX_PLAN = 64 * 1024 * 1024, MAX_LIST = 65536 };

struct reader
{
  const char *at, *end;
};

static void *
allocate (size_t count, size_t size)
{
  void *memory = calloc (count == 0 ? 1 : count, size);
  if (memory == NULL)
    die_errno ("cannot hold the plan in memory");
  return memory;
}

/* A list with one more zeroed element at its end, which is returned through the pointer. */
static void *
grow (void *list, size_t *count, size_t size)
{
  char *grown = reallocarray (list, *count + 2, size); /* one spare: argv and env end with NULL */
  if (grown == NULL || *count > MAX_LIST)
    die ("the plan has too many entries");
  memset (grown + *count * size, 0, 2 * size);
  *count += 1;
  return grown;
}

static const char *
text (struct reader *reader)
{
  const char *start = reader->at;
  const char *nul = memchr (start, '\0', (size_t) (reader->end - start));
  if (nul == NULL)
    die ("the plan ends in the middle of a string");
  reader->at = nul + 1;
  return start;
}

static uint64_t
number (struct reader *reader, int base)
{
  const char *digits = text (reader);
  char *end;
  errno = 0;
  unsigned long long value = strtoull (digits, &end, base);
  if (errno != 0 || end == digits || *end != '\0')
    die ("the plan has \"%s\" where a number belongs", digits);
  return value;
}

static uint32_t
small_number (struct reader *reader)
{
  uint64_t value = number (reader, 10);
  if (value > UINT32_MAX)
    die ("the plan has a number that is too big: %llu", (unsigned long long) value);
  return (uint32_t) value;
}

static const char *
bytes (struct reader *reader, size_t *size)
{
  *size = small_number (reader);
  if (*size >= (size_t) (reader->end - reader->at))
    die ("the plan ends in the middle of data");
  const char *start = reader->at;
  reader->at += *size + 1;
  return start;
}

static struct step *
new_step (struct plan *plan, enum step_kind kind)
{
  plan->steps = grow (plan->steps, &plan->step_count, sizeof *plan->steps);
  struct step *step = &plan->steps[plan->step_count - 1];
  step->kind = kind;
  return step;
}

/* Trees are referred to by pointer from steps, so their place must not move: they are allocated one by one. */
static struct tree *
new_tree (struct plan *plan)
{
  plan->trees = grow (plan->trees, &plan->tree_count, sizeof *plan->trees);
  struct tree *tree = allocate (1, sizeof *tree);
  plan->trees[plan->tree_count - 1] = tree;
  tree->fd = -1;
  return tree;
}

static void
read_overlay (struct plan *plan, struct reader *reader)
{
  struct tree *tree = new_tree (plan);
  tree->upper = text (reader);
  tree->work = text (reader);
  tree->options = text (reader);
  tree->attributes = number (reader, 10);
  size_t count = small_number (reader);
  if (count == 0 || count > MAX_LIST)
    die ("an overlay needs between 1 and %d lower directories, not %zu", MAX_LIST, count);
  tree->lowers = allocate (count, sizeof *tree->lowers);
  for (; tree->lower_count < count; tree->lower_count++)
    tree->lowers[tree->lower_count] = text (reader);
}

static struct tree *
last_tree (const struct plan *plan)
{
  if (plan->tree_count == 0)
    die ("the plan mounts a tree before it describes one");
  return plan->trees[plan->tree_count - 1];
}

static int
namespace_flag (const char *name)
{
  static const struct { const char *name; int flag; } names[] = {
    { "pid", CLONE_NEWPID }, { "ipc", CLONE_NEWIPC },         { "uts", CLONE_NEWUTS },
    { "net", CLONE_NEWNET }, { "cgroup", CLONE_NEWCGROUP },
  };
  for (size_t i = 0; i < sizeof names / sizeof *names; i++)
    if (strcmp (names[i].name, name) == 0)
      return names[i].flag;
  die ("the plan names an unknown namespace \"%s\"", name);
}

/* The members of a step come in the order they are sent. */
static bool
read_step (struct plan *plan, struct reader *reader, const char *name)
{
  struct step *step;
  if (strcmp (name, "bind") == 0)
    {
      step = new_step (plan, STEP_BIND);
      step->source = text (reader);
      step->target = text (reader);
      step->attributes = number (reader, 10);
      const char *flags = text (reader);
      step->recursive = strchr (flags, 'r') != NULL;
      step->optional = strchr (flags, 'o') != NULL;
    }
  else if (strcmp (name, "tree") == 0)
    {
      step = new_step (plan, STEP_TREE);
      step->tree = last_tree (plan);
      step->source = text (reader);
      step->target = text (reader);
      step->attributes = number (reader, 10);
    }
  else if (strcmp (name, "filesystem") == 0)
    {
      step = new_step (plan, STEP_FILESYSTEM);
      step->source = text (reader);
      step->target = text (reader);
      step->options = text (reader);
      step->attributes = number (reader, 10);
    }
  else if (strcmp (name, "tmpfs") == 0)
    {
      step = new_step (plan, STEP_FILESYSTEM);
      step->source = name;
      step->target = text (reader);
      step->options = text (reader);
      step->attributes = number (reader, 10);
      step->keeps_mode = true;
    }
  else if (strcmp (name, "file") == 0)
    {
      step = new_step (plan, STEP_FILE);
      step->target = text (reader);
      step->mode = small_number (reader) & 07777;
      step->uid = small_number (reader);
      step->gid = small_number (reader);
      step->attributes = number (reader, 10);
      step->data = bytes (reader, &step->size);
    }
  else if (strcmp (name, "symlink") == 0)
    {
      step = new_step (plan, STEP_SYMLINK);
      step->source = text (reader);
      step->target = text (reader);
    }
  else if (strcmp (name, "mask") == 0)
    new_step (plan, STEP_MASK)->target = text (reader);
  else if (strcmp (name, "read-only") == 0)
    new_step (plan, STEP_READ_ONLY)->target = text (reader);
  else if (strcmp (name, "working-directory") == 0)
    {
      step = new_step (plan, STEP_WORKING_DIRECTORY);
      step->target = text (reader);
      step->uid = small_number (reader);
      step->gid = small_number (reader);
    }
  else if (strcmp (name, "device") == 0)
    {
      step = new_step (plan, STEP_DEVICE);
      step->target = text (reader);
      step->mode = small_number (reader) & (S_IFMT | 07777);
      step->device = (dev_t) number (reader, 10);
      step->uid = small_number (reader);
      step->gid = small_number (reader);
      step->attributes = number (reader, 10);
      step->optional = strchr (text (reader), 'o') != NULL;
    }
  else
    return false;
  return true;
}

static void
read_identity (struct plan *plan, struct reader *reader)
{
  plan->uid = small_number (reader);
  plan->gid = small_number (reader);
  size_t count = small_number (reader);
  if (count > MAX_LIST)
    die ("the user is in too many groups: %zu", count);
  plan->groups = allocate (count, sizeof *plan->groups);
  for (; plan->group_count < count; plan->group_count++)
    plan->groups[plan->group_count] = small_number (reader);
}

static void
read_limit (struct plan *plan, struct reader *reader)
{
  plan->limits = grow (plan->limits, &plan->limit_count, sizeof *plan->limits);
  struct limit *limit = &plan->limits[plan->limit_count - 1];
  limit->resource = (int) (small_number (reader) & 0xff);
  limit->soft = number (reader, 10);
  limit->hard = number (reader, 10);
}

static bool
read_setting (struct plan *plan, struct reader *reader, const char *name, size_t *argc, size_t *envc, size_t *helperc)
{
  if (strcmp (name, "scratch") == 0)
    plan->scratch = text (reader);
  else if (strcmp (name, "chroot") == 0)
    plan->chroot = text (reader);
  else if (strcmp (name, "tree-overlay") == 0)
    read_overlay (plan, reader);
  else if (strcmp (name, "tree-directory") == 0)
    {
      struct tree *tree = new_tree (plan);
      tree->directory = text (reader);
      tree->attributes = number (reader, 10);
    }
  else if (strcmp (name, "root") == 0)
    plan->root = last_tree (plan);
  else if (strcmp (name, "namespace") == 0)
    plan->namespaces |= namespace_flag (text (reader));
  else if (strcmp (name, "user-namespace") == 0)
    {
      plan->uid_map = text (reader);
      plan->gid_map = text (reader);
      plan->deny_setgroups = number (reader, 10) != 0;
    }
  else if (strcmp (name, "cgroup-v2") == 0)
    plan->cgroup_v2 = text (reader);
  else if (strcmp (name, "device-filter") == 0)
    plan->device_filter = bytes (reader, &plan->device_filter_size);
  else if (strcmp (name, "cgroup-procs") == 0)
    {
      plan->cgroup_procs = grow (plan->cgroup_procs, &plan->cgroup_procs_count, sizeof *plan->cgroup_procs);
      plan->cgroup_procs[plan->cgroup_procs_count - 1] = text (reader);
    }
  else if (strcmp (name, "network-helper") == 0)
    {
      plan->network_helper = grow (plan->network_helper, helperc, sizeof *plan->network_helper);
      plan->network_helper[*helperc - 1] = text (reader);
    }
  else if (strcmp (name, "hostname") == 0)
    plan->hostname = text (reader);
  else if (strcmp (name, "keep-old-root") == 0)
    plan->keep_old_root = true;
  else if (strcmp (name, "identity") == 0)
    read_identity (plan, reader);
  else if (strcmp (name, "keep-groups") == 0)
    plan->keep_groups = true;
  else if (strcmp (name, "no-new-privileges") == 0)
    plan->no_new_privileges = true;
  else if (strcmp (name, "capabilities") == 0)
    {
      plan->bounding = number (reader, 16);
      plan->permitted = number (reader, 16);
      plan->effective = number (reader, 16);
      plan->inheritable = number (reader, 16);
      plan->ambient = number (reader, 16);
    }
  else if (strcmp (name, "watch-network") == 0)
    plan->watches_network = true;
  else if (strcmp (name, "watch-owners") == 0)
    plan->watches_owners = true;
  else if (strcmp (name, "keep-owners") == 0)
    {
      plan->records_beyond = text (reader);
      plan->last_uid = small_number (reader);
      plan->last_gid = small_number (reader);
    }
  else if (strcmp (name, "answer-proc") == 0)
    plan->answers_proc = true;
  else if (strcmp (name, "pretend-owners") == 0)
    plan->owner_records = text (reader);
  else if (strcmp (name, "seccomp") == 0)
    {
      uint32_t probe = small_number (reader);
      plan->seccomp_probe = probe == UINT32_MAX ? -1 : (long) probe;
      plan->seccomp = bytes (reader, &plan->seccomp_size);
    }
  else if (strcmp (name, "rlimit") == 0)
    read_limit (plan, reader);
  else if (strcmp (name, "inherit-stdio") == 0)
    plan->inherit_stdio = true;
  else if (strcmp (name, "cwd") == 0)
    plan->cwd = text (reader);
  else if (strcmp (name, "arg") == 0)
    {
      plan->argv = grow (plan->argv, argc, sizeof *plan->argv);
      plan->argv[*argc - 1] = text (reader);
    }
  else if (strcmp (name, "env") == 0)
    {
      plan->env = grow (plan->env, envc, sizeof *plan->env);
      plan->env[*envc - 1] = text (reader);
    }
  else
    return false;
  return true;
}

static ssize_t
receive (void *buffer, size_t size)
{
  ssize_t n;
  do
    n = recv (CONTROL_FD, buffer, size, 0);
  while (n < 0 && errno == EINTR);
  return n;
}

static struct reader
receive_plan (void)
{
  char digits[24];
  size_t used = 0;
  for (;;)
    {
      if (receive (digits + used, 1) != 1)
        _exit (STATUS_FAILED); /* kiln is gone: the failure cannot be reported */
      if (digits[used] == '\n')
        break;
      if (++used == sizeof digits - 1)
        die ("the plan does not start with its length");
    }
  digits[used] = '\0';
  size_t size = strtoul (digits, NULL, 10);
  if (size == 0 || size > MAX_PLAN)
    die ("the plan has an impossible length: %s bytes", digits);

  static char *plan; /* all strings of the plan point into it, for as long as the process lives */
  plan = allocate (size, 1);
  for (size_t at = 0; at < size;)
    {
      ssize_t n = receive (plan + at, size - at);
      if (n <= 0)
        _exit (STATUS_FAILED);
      at += (size_t) n;
    }
  return (struct reader){ .at = plan, .end = plan + size };
}

struct plan *
read_plan (void)
{
  struct reader reader = receive_plan ();
  struct plan *plan = allocate (1, sizeof *plan);
  size_t argc = 0, envc = 0, helperc = 0;
  static const char *no_env[] = { NULL };
  plan->env = NULL;
  plan->seccomp_probe = -1;

  while (reader.at < reader.end)
    {
      const char *name = text (&reader);
      if (!read_step (plan, &reader, name) && !read_setting (plan, &reader, name, &argc, &envc, &helperc))
        die ("the plan has an unknown directive \"%s\"", name);
    }
  bool has_root = plan->chroot != NULL || (plan->root != NULL && plan->scratch != NULL);
  if (!has_root || plan->argv == NULL || plan->cwd == NULL)
    die ("the plan lacks a root, a scratch directory, a working directory or a command");
  if (plan->env == NULL)
    plan->env = no_env;
  return plan;
}
