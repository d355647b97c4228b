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

/* Who a process believes to be. */
enum { MAX_GROUPS = 128 };
struct identity
{
  uint32_t uid[4]; /* real, effective, saved, of the file system */
  uint32_t gid[4];
  uint32_t groups[MAX_GROUPS];
  size_t group_count;
};
enum { REAL, EFFECTIVE, SAVED, FILES };

#endif
