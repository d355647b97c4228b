/* Answers to system calls that were stopped, and identities: the values that the files of pretended ids exchange. */
#ifndef KILN_ANSWER_H
#define KILN_ANSWER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The answer to one call. `done`: the answer went out already, with a descriptor. */
struct answer
{
  bool carry_on, done; /* carry_on: the kernel is to do the call as if we had not been asked */
  int error;           /* as errno, 0 for success */
  int64_t value;
};

static inline struct answer
answer_error (int error)
{
  return (struct answer){ .error = error };
}

static inline struct answer
answer_value (int64_t value)
{
  return (struct answer){ .value = value };
}

static const struct answer LET_THE_KERNEL = { .carry_on = true };

/* Capability sets, one bit for each capability. */
struct capability_sets
{
  uint64_t permitted, effective, inheritable, ambient, bounding;
};

/* The identity that a process believes to have. Compared byte by byte up to
 * `groups`: no holes between the members. */
struct identity
{
  uint32_t uid[4]; /* real, effective, saved, of the file system */
  uint32_t gid[4];
  struct capability_sets capabilities;
  uint64_t locks_soft, locks_hard; /* the RLIMIT_LOCKS that it believes to have: the true one holds its identity */
  /* An exec that changes the identity: its program, and the state that holds
   * as long as that does not run. */
  uint64_t program_device, program_inode, number_before;
  uint32_t secure_bits; /* as PR_SET_SECUREBITS takes them */
  uint32_t group_count;
  uint32_t *groups;
};
enum { REAL, EFFECTIVE, SAVED, FILES };
enum { MAX_GROUPS = 65536 }; /* NGROUPS_MAX of the kernel */

#endif
