/* The identity that a process really has, where a user namespace has many ids: as the kernel tells it. */
#include "pretend.h"

#include <stdlib.h>

static void
read_ids (const char *line, uint32_t ids[4])
{
  char *end = (char *) (uintptr_t) line;
  for (int i = 0; i < 4; i++)
    ids[i] = (uint32_t) strtoul (end, &end, 10);
}

static void
read_groups (const char *line, struct identity *out)
{
  static uint32_t groups[512]; /* more do not fit into the text that is read */
  char *end = (char *) (uintptr_t) line;
  out->groups = groups;
  while (out->group_count < sizeof groups / sizeof *groups)
    {
      char *next;
      unsigned long group = strtoul (end, &next, 10);
      const char *separator = memchr (end, '\n', (size_t) (next - end));
      if (next == end || separator != NULL)
        return;
      groups[out->group_count++] = (uint32_t) group;
      end = next;
    }
}

/* Nobody, with no rights, where it cannot be read. Valid until the next call. */
const struct identity *
true_identity (pid_t pid)
{
  static struct identity caller;
  static const struct
  {
    const char *label;
    uint64_t *set;
  } sets[] = { { "\nCapEff:", &caller.capabilities.effective }, { "\nCapPrm:", &caller.capabilities.permitted } };
  char text[4096];
  caller = (struct identity){ .uid = { UINT32_MAX, UINT32_MAX, UINT32_MAX, UINT32_MAX },
                              .gid = { UINT32_MAX, UINT32_MAX, UINT32_MAX, UINT32_MAX } };
  const char *uids = status_line (pid, "\nUid:", text);
  if (uids == NULL)
    return &caller;
  read_ids (uids, caller.uid);
  const char *gids = strstr (text, "\nGid:"), *groups = strstr (text, "\nGroups:");
  if (gids != NULL)
    read_ids (gids + strlen ("\nGid:"), caller.gid);
  if (groups != NULL)
    read_groups (groups + strlen ("\nGroups:"), &caller);
  for (size_t i = 0; i < sizeof sets / sizeof *sets; i++)
    {
      const char *line = strstr (text, sets[i].label);
      *sets[i].set = line == NULL ? 0 : strtoull (line + strlen (sets[i].label), NULL, 16);
    }
  return &caller;
}
