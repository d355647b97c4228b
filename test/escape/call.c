/* Makes one system call by its number, for the tests of escapes, and ends with 0 if the kernel let it through.
 *   call 64|32 NUMBER [ARGUMENT...]         0 when the call succeeded; an argument with a slash is a buffer
 *   call refused 64|32 NUMBER               0 unless the call was refused (EPERM, ENOSYS): its arguments make no sense
 * 32 is the entry of 32-bit programs, int 0x80, which a 64-bit program has as well. */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static char buffer[4096];

static long
narrow (long number, const long *values)
{
#ifdef __x86_64__
  long result;
  __asm__ volatile ("int $0x80"
                    : "=a"(result)
                    : "0"(number), "b"(values[0]), "c"(values[1]), "d"(values[2]), "S"(values[3]), "D"(values[4])
                    : "memory", "r8", "r9", "r10", "r11");
  return result;
#else
  (void) number;
  (void) values;
  return -ENOSYS;
#endif
}

static long
wide (long number, const long *values)
{
  long result = syscall (number, values[0], values[1], values[2], values[3], values[4], values[5]);
  return result < 0 ? -errno : result;
}

int
main (int count, char **words)
{
  int is_refusal = count > 1 && strcmp (words[1], "refused") == 0;
  int at = is_refusal ? 2 : 1;
  if (count < at + 2)
    return 2;
  /* Senseless arguments: no address, no descriptor. */
  long values[6] = { -1, -1, -1, -1, -1, -1 };
  for (int i = at + 2; i < count && i < at + 8; i++)
    values[i - at - 2] = strchr (words[i], '/') != NULL ? (long) (void *) buffer : strtol (words[i], NULL, 10);
  long number = strtol (words[at + 1], NULL, 10);
  long result = strcmp (words[at], "32") == 0 ? narrow (number, values) : wide (number, values);
  if (is_refusal)
    return result == -EPERM || result == -ENOSYS;
  return result < 0;
}
