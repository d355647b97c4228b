/* Capabilities of pretended identities, by the rules of security/commoncap.c. The true ones are those of the step: they are what
 * lets the one id work on all files, and go with no change of identity. */
#include "pretend.h"

#include <errno.h>
#include <linux/capability.h>
#include <linux/securebits.h>
#include <sys/prctl.h>

#define BIT(capability) (1ULL << (capability))

/* The capabilities of root over files; raised and dropped with the file
 * system's user id. */
static const uint64_t OF_FILES = BIT (CAP_CHOWN) | BIT (CAP_MKNOD) | BIT (CAP_DAC_OVERRIDE) | BIT (CAP_DAC_READ_SEARCH) | BIT (CAP_FOWNER)
                                 | BIT (CAP_FSETID) | BIT (CAP_LINUX_IMMUTABLE) | BIT (CAP_MAC_OVERRIDE);

bool
has_capability (const struct identity *caller, int capability)
{
  return (caller->capabilities.effective & BIT (capability)) != 0;
}

static bool
is_root_at_all (const uint32_t uid[4])
{
  return uid[REAL] == 0 || uid[EFFECTIVE] == 0 || uid[SAVED] == 0;
}

/* Adapts the capabilities after set*uid. */
void
follow_user (const struct identity *before, struct identity *caller)
{
  struct capability_sets *sets = &caller->capabilities;
  if ((caller->secure_bits & SECBIT_NO_SETUID_FIXUP) != 0)
    return;
  if (is_root_at_all (before->uid) && !is_root_at_all (caller->uid))
    {
      if ((caller->secure_bits & SECBIT_KEEP_CAPS) == 0)
        sets->permitted = sets->effective = 0;
      sets->ambient = 0;
    }
  if (before->uid[EFFECTIVE] == 0 && caller->uid[EFFECTIVE] != 0)
    sets->effective = 0;
  if (before->uid[EFFECTIVE] != 0 && caller->uid[EFFECTIVE] == 0)
    sets->effective = sets->permitted;
}

/* Adapts the capabilities after setfsuid. */
void
follow_file_user (const struct identity *before, struct identity *caller)
{
  struct capability_sets *sets = &caller->capabilities;
  if ((caller->secure_bits & SECBIT_NO_SETUID_FIXUP) != 0)
    return;
  if (before->uid[FILES] == 0 && caller->uid[FILES] != 0)
    sets->effective &= ~OF_FILES;
  if (before->uid[FILES] != 0 && caller->uid[FILES] == 0)
    sets->effective |= sets->permitted & OF_FILES;
}

/* Words of each set, by the version of the interface; 0 for one that the kernel does not know. */
static int
words_of (uint32_t version)
{
  return version == _LINUX_CAPABILITY_VERSION_1                                               ? 1
         : version == _LINUX_CAPABILITY_VERSION_2 || version == _LINUX_CAPABILITY_VERSION_3 ? 2
                                                                                              : 0;
}

struct question
{
  struct __user_cap_header_struct header;
  int words;
  struct answer refusal; /* where `words` is 0 */
};

static struct question
read_question (pid_t pid, const uint64_t a[6])
{
  struct question question = { 0 };
  if (!read_memory (pid, a[0], &question.header, sizeof question.header))
    {
      question.refusal = answer_error (EFAULT);
      return question;
    }
  question.words = words_of (question.header.version);
  if (question.words > 0)
    return question;
  uint32_t version = _LINUX_CAPABILITY_VERSION_3;
  bool told = write_memory (pid, a[0], &version, sizeof version);
  question.refusal = answer_error (!told ? EFAULT : EINVAL);
  return question;
}

struct answer
tell_capabilities (pid_t pid, const uint64_t a[6])
{
  struct question question = read_question (pid, a);
  if (question.words == 0)
    return question.refusal.error == EINVAL && a[1] == 0 ? answer_value (0) : question.refusal;
  pid_t target = question.header.pid < 0 ? -1 : process_called (pid, question.header.pid);
  if (target < 0)
    return answer_error (question.header.pid < 0 ? EINVAL : ESRCH);
  const struct capability_sets *sets = &identity_of (target)->capabilities;
  struct __user_cap_data_struct data[2];
  for (int word = 0; word < 2; word++)
    data[word] = (struct __user_cap_data_struct){ .effective = (uint32_t) (sets->effective >> (32 * word)),
                                                  .permitted = (uint32_t) (sets->permitted >> (32 * word)),
                                                  .inheritable = (uint32_t) (sets->inheritable >> (32 * word)) };
  if (a[1] == 0)
    return answer_value (0);
  bool told = write_memory (pid, a[1], data, (size_t) question.words * sizeof *data);
  return told ? answer_value (0) : answer_error (EFAULT);
}

static bool
is_within (uint64_t set, uint64_t limit)
{
  return (set & ~limit) == 0;
}

struct answer
change_capabilities (pid_t pid, const uint64_t a[6])
{
  struct question question = read_question (pid, a);
  struct __user_cap_data_struct data[2] = { 0 };
  if (question.words == 0)
    return question.refusal;
  if (process_called (pid, question.header.pid) != pid)
    return answer_error (EPERM);
  if (!read_memory (pid, a[1], data, (size_t) question.words * sizeof *data))
    return answer_error (EFAULT);
  struct identity caller = *identity_of (pid);
  struct capability_sets old = caller.capabilities, *sets = &caller.capabilities;
  sets->effective = data[0].effective | (uint64_t) data[1].effective << 32;
  sets->permitted = data[0].permitted | (uint64_t) data[1].permitted << 32;
  sets->inheritable = data[0].inheritable | (uint64_t) data[1].inheritable << 32;
  uint64_t inheritable = old.inheritable | ((old.effective & BIT (CAP_SETPCAP)) != 0 ? old.bounding : old.permitted);
  if (!is_within (sets->inheritable, inheritable) || !is_within (sets->inheritable, old.inheritable | old.bounding)
      || !is_within (sets->permitted, old.permitted) || !is_within (sets->effective, sets->permitted))
    return answer_error (EPERM);
  sets->ambient &= sets->permitted & sets->inheritable;
  return become (pid, &caller);
}

static struct answer
change_bits (pid_t pid, struct identity *caller, uint64_t bits)
{
  uint32_t old = caller->secure_bits;
  bool touches_locked = (((old & SECURE_ALL_LOCKS) >> 1) & (old ^ bits)) != 0;
  bool unlocks = (old & SECURE_ALL_LOCKS & ~bits) != 0;
  bool is_unknown = (bits & ~(uint64_t) (SECURE_ALL_LOCKS | SECURE_ALL_BITS)) != 0;
  if (touches_locked || unlocks || is_unknown || !has_capability (caller, CAP_SETPCAP))
    return answer_error (EPERM);
  caller->secure_bits = (uint32_t) bits;
  return become (pid, caller);
}

static struct answer
change_ambient (pid_t pid, struct identity *caller, const uint64_t a[6])
{
  struct capability_sets *sets = &caller->capabilities;
  if (a[3] != 0 || a[4] != 0 || (a[1] == PR_CAP_AMBIENT_CLEAR_ALL ? a[2] != 0 : a[2] > CAP_LAST_CAP))
    return answer_error (EINVAL);
  switch (a[1])
    {
    case PR_CAP_AMBIENT_CLEAR_ALL:
      sets->ambient = 0;
      return become (pid, caller);
    case PR_CAP_AMBIENT_IS_SET:
      return answer_value ((sets->ambient & BIT (a[2])) != 0);
    case PR_CAP_AMBIENT_LOWER:
      sets->ambient &= ~BIT (a[2]);
      return become (pid, caller);
    case PR_CAP_AMBIENT_RAISE:
      if ((sets->permitted & sets->inheritable & BIT (a[2])) == 0 || (caller->secure_bits & SECBIT_NO_CAP_AMBIENT_RAISE) != 0)
        return answer_error (EPERM);
      sets->ambient |= BIT (a[2]);
      return become (pid, caller);
    default:
      return answer_error (EINVAL);
    }
}

/* prctl, as far as it is about capabilities. */
struct answer
control_process (pid_t pid, const uint64_t a[6])
{
  struct identity caller = *identity_of (pid);
  switch ((uint32_t) a[0])
    {
    case PR_GET_KEEPCAPS:
      return answer_value ((caller.secure_bits & SECBIT_KEEP_CAPS) != 0);
    case PR_SET_KEEPCAPS:
      if (a[1] > 1)
        return answer_error (EINVAL);
      if ((caller.secure_bits & SECBIT_KEEP_CAPS_LOCKED) != 0)
        return answer_error (EPERM);
      caller.secure_bits = (caller.secure_bits & ~(uint32_t) SECBIT_KEEP_CAPS) | (a[1] == 1 ? SECBIT_KEEP_CAPS : 0);
      return become (pid, &caller);
    case PR_GET_SECUREBITS:
      return answer_value (caller.secure_bits);
    case PR_SET_SECUREBITS:
      return change_bits (pid, &caller, a[1]);
    case PR_CAPBSET_READ:
      return a[1] > CAP_LAST_CAP ? answer_error (EINVAL) : answer_value ((caller.capabilities.bounding & BIT (a[1])) != 0);
    case PR_CAPBSET_DROP:
      if (!has_capability (&caller, CAP_SETPCAP))
        return answer_error (EPERM);
      if (a[1] > CAP_LAST_CAP)
        return answer_error (EINVAL);
      caller.capabilities.bounding &= ~BIT (a[1]);
      return become (pid, &caller);
    case PR_CAP_AMBIENT:
      return change_ambient (pid, &caller, a);
    default:
      return LET_THE_KERNEL;
    }
}
