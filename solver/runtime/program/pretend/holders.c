/* The identity of each process. The kernel keeps the mapping for us: the
 * soft RLIMIT_LOCKS of a process holds the number of an entry of our table.
 * Linux has not used that limit since 2.6. fork, vfork and exec pass it on
 * at the very moment at which a process is made, threads share it, and it
 * ends with the process: there is no race with a fork, no reuse of a
 * process's number, no problem of a parent that died first.
 *
 * A process cannot reach it. The filter stops each call that reads or sets
 * RLIMIT_LOCKS, and the limit that the process believes to have is part of
 * its identity (limits.c). */
#include "pretend.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/resource.h>

/* The groups of all entries together are bounded: 64 MiB, of memory that no limit of the step's counts. */
enum { PLACES = 1 << 16, FIRST_SWEEP = 256, MAX_GROUPS_HELD = 1 << 24 };

struct entry
{
  uint64_t number; /* 0: free */
  uint64_t hash;
  unsigned int sweeps_unseen;
  struct identity caller;
};

static struct identity first; /* the step's USER; its number is 0 */
static struct entry *entries;
static size_t place_count, used_count, next_sweep = FIRST_SWEEP;
static uint64_t use_count = 1;
static size_t groups_held;

static size_t
compared_size (void)
{
  return offsetof (struct identity, groups);
}

static uint64_t
hash_bytes (uint64_t hash, const void *bytes, size_t size)
{
  for (size_t i = 0; i < size; i++)
    hash = (hash ^ ((const unsigned char *) bytes)[i]) * 0x100000001b3ULL;
  return hash;
}

static uint64_t
hash_of (const struct identity *caller)
{
  uint64_t hash = hash_bytes (0xcbf29ce484222325ULL, caller, compared_size ());
  return hash_bytes (hash, caller->groups, caller->group_count * sizeof *caller->groups);
}

static bool
are_equal (const struct identity *one, const struct identity *other)
{
  return memcmp (one, other, compared_size ()) == 0
         && (one->group_count == 0 || memcmp (one->groups, other->groups, one->group_count * sizeof *one->groups) == 0);
}

static bool
copy_identity (struct identity *to, const struct identity *from)
{
  size_t size = from->group_count * sizeof *from->groups;
  uint32_t *groups = malloc (size + 1);
  if (groups == NULL)
    return false;
  if (size > 0)
    memcpy (groups, from->groups, size);
  *to = *from;
  to->groups = groups;
  return true;
}

/* The number in a process's limit, 0 for the first identity. */
static uint64_t
number_of (pid_t pid)
{
  struct rlimit limit;
  if (prlimit (pid, RLIMIT_LOCKS, NULL, &limit) < 0)
    return 0;
  return limit.rlim_cur;
}

static struct entry *
entry_of (uint64_t number)
{
  size_t place = number % PLACES;
  return number != 0 && place < place_count && entries[place].number == number ? &entries[place] : NULL;
}

static int
hold (pid_t pid, uint64_t number)
{
  struct rlimit limit;
  if (prlimit (pid, RLIMIT_LOCKS, NULL, &limit) < 0)
    return errno;
  limit.rlim_cur = number == 0 ? limit.rlim_max : number;
  return prlimit (pid, RLIMIT_LOCKS, &limit, NULL) < 0 ? errno : 0;
}

void
first_identity (const struct plan *plan)
{
  static uint32_t groups[256];
  first = (struct identity){
    .capabilities = { .permitted = plan->permitted,
                      .effective = plan->effective,
                      .inheritable = plan->inheritable,
                      .ambient = plan->ambient,
                      .bounding = plan->bounding },
    .groups = groups,
  };
  struct rlimit own = { .rlim_cur = RLIM_INFINITY, .rlim_max = RLIM_INFINITY };
  (void) getrlimit (RLIMIT_LOCKS, &own);
  first.locks_soft = own.rlim_cur;
  first.locks_hard = own.rlim_max;
  for (size_t i = 0; i < plan->limit_count; i++)
    if (plan->limits[i].resource == RLIMIT_LOCKS)
      {
        first.locks_soft = plan->limits[i].soft;
        first.locks_hard = plan->limits[i].hard;
      }
  for (int i = 0; i < 4; i++)
    {
      first.uid[i] = plan->uid;
      first.gid[i] = plan->gid;
    }
  for (size_t i = 0; i < plan->group_count && i < sizeof groups / sizeof *groups; i++)
    groups[first.group_count++] = plan->groups[i];
}

/* A program that runs with the identity that its exec gave: from now on that is simply the process's. One that does not run,
 * because the exec failed after all, has changed nothing. */
static const struct identity *
settle (pid_t pid, const struct entry *entry)
{
  if (is_running (pid, entry->caller.program_device, entry->caller.program_inode))
    {
      struct identity settled;
      if (!copy_identity (&settled, &entry->caller))
        return &entry->caller;
      settled.program_device = settled.program_inode = settled.number_before = 0;
      (void) become (pid, &settled);
      free (settled.groups);
    }
  else
    (void) hold (pid, entry->caller.number_before);
  const struct entry *now = entry_of (number_of (pid));
  return now == NULL ? &first : &now->caller;
}

/* Valid until the next call of `become`. */
const struct identity *
identity_of (pid_t pid)
{
  if (ids_are_true ())
    return true_identity (pid);
  struct entry *entry = entry_of (number_of (pid));
  if (entry == NULL)
    return &first;
  entry->sweeps_unseen = 0;
  return entry->caller.program_inode != 0 ? settle (pid, entry) : &entry->caller;
}

bool
is_first_identity (pid_t pid)
{
  return identity_of (pid) == &first;
}

uint64_t
identity_number (pid_t pid)
{
  const struct entry *entry = entry_of (number_of (pid));
  return entry == NULL ? 0 : entry->number;
}

static void
mark_held (void)
{
  DIR *processes = open_processes ();
  if (processes == NULL)
    return;
  for (const struct dirent *one = readdir (processes); one != NULL; one = readdir (processes))
    {
      char *end;
      long pid = strtol (one->d_name, &end, 10);
      struct entry *entry = pid <= 0 || *end != '\0' ? NULL : entry_of (number_of ((pid_t) pid));
      if (entry == NULL)
        continue;
      entry->sweeps_unseen = 0;
      struct entry *before = entry_of (entry->caller.number_before);
      if (before != NULL)
        before->sweeps_unseen = 0;
    }
  (void) closedir (processes);
}

/* Drops what no process was seen with twice: between the first look and the second a process that was born behind our back
 * cannot have both been missed and had its parent missed. */
static void
sweep (void)
{
  for (size_t i = 0; i < place_count; i++)
    entries[i].sweeps_unseen++;
  mark_held ();
  for (size_t i = 0; i < place_count; i++)
    {
      if (entries[i].number == 0 || entries[i].sweeps_unseen < 2)
        continue;
      free (entries[i].caller.groups);
      groups_held -= entries[i].caller.group_count;
      entries[i] = (struct entry){ 0 };
      used_count--;
    }
  next_sweep = 2 * used_count > FIRST_SWEEP ? 2 * used_count : FIRST_SWEEP;
}

static struct entry *
free_place (void)
{
  if (used_count >= next_sweep)
    sweep ();
  for (size_t i = 0; i < place_count; i++)
    if (entries[i].number == 0)
      return &entries[i];
  size_t more = place_count == 0 ? FIRST_SWEEP : 2 * place_count;
  struct entry *grown = more > PLACES ? NULL : realloc (entries, more * sizeof *entries);
  if (grown == NULL)
    return NULL;
  memset (grown + place_count, 0, (more - place_count) * sizeof *grown);
  entries = grown;
  place_count = more;
  return &entries[more / 2 < FIRST_SWEEP ? 0 : more / 2];
}

static struct entry *
find_entry (const struct identity *caller, uint64_t hash)
{
  for (size_t i = 0; i < place_count; i++)
    if (entries[i].number != 0 && entries[i].hash == hash && are_equal (&entries[i].caller, caller))
      return &entries[i];
  return NULL;
}

/* Gives the process, and everything it forks, the identity `caller` from now
 * on. */
struct answer
become (pid_t pid, const struct identity *caller)
{
  if (are_equal (caller, &first))
    return answer_error (hold (pid, 0));
  uint64_t hash = hash_of (caller);
  struct entry *entry = find_entry (caller, hash);
  if (entry == NULL)
    {
      struct identity copy;
      if (!copy_identity (&copy, caller))
        return answer_error (ENOMEM);
      entry = free_place ();
      if (entry == NULL || groups_held + copy.group_count > MAX_GROUPS_HELD)
        {
          free (copy.groups);
          return answer_error (EAGAIN);
        }
      *entry = (struct entry){ .number = use_count++ * PLACES + (uint64_t) (entry - entries), .hash = hash, .caller = copy };
      used_count++;
      groups_held += copy.group_count;
    }
  entry->sweeps_unseen = 0;
  return answer_error (hold (pid, entry->number));
}
