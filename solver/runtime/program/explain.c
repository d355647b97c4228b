/* Explains why a program could not be started. It is the build's mistake and
 * not ours, so the message goes to the command's own standard error, like a
 * shell's. The kernel has one error for a program of another machine, a
 * script without a "#!" line and an empty file, and another one for a
 * missing file and a missing loader; the file's first bytes tell which. */
#include "runtime.h"

#include "kernel.h"
#include <elf.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

enum { REASON = 1024, HEAD = 4096, MAX_INTERPRETER = 255 };

/* Names as in --platform. */
static const struct machine
{
  unsigned int number;
  const char *name;
} MACHINES[] = {
  { EM_X86_64, "amd64" },  { EM_AARCH64, "arm64" },    { EM_ARM, "arm" },      { EM_386, "386" },
  { EM_PPC64, "ppc64le" }, { EM_S390, "s390x" },       { 243, "riscv64" },     { 258, "loong64" },
  { EM_MIPS, "mips64le" },
};

#if defined __x86_64__
enum { OWN_MACHINE = EM_X86_64 };
#elif defined __aarch64__
enum { OWN_MACHINE = EM_AARCH64 };
#else
enum { OWN_MACHINE = EM_NONE };
#endif

static const char *
machine_name (unsigned int number)
{
  for (size_t i = 0; i < sizeof MACHINES / sizeof *MACHINES; i++)
    if (MACHINES[i].number == number)
      return MACHINES[i].name;
  return NULL;
}

struct head
{
  unsigned char bytes[HEAD + 1];
  size_t size;
};

/* The file's first bytes, with a NUL behind them. False where the user may run the file and not read it. */
static bool
read_head (const char *path, struct head *head)
{
  cleanup_fd int fd = open (path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  ssize_t n = fd < 0 ? -1 : read (fd, head->bytes, HEAD);
  if (n < 0)
    return false;
  head->size = (size_t) n;
  head->bytes[n] = '\0';
  return true;
}

static bool
is_elf (const struct head *head)
{
  return head->size > EI_NIDENT + 4 && memcmp (head->bytes, ELFMAG, SELFMAG) == 0;
}

static unsigned int
machine_of (const struct head *head)
{
  const unsigned char *field = head->bytes + offsetof (Elf64_Ehdr, e_machine); /* the same place in both classes */
  bool big = head->bytes[EI_DATA] == ELFDATA2MSB;
  return (unsigned int) (big ? field[0] << 8 | field[1] : field[1] << 8 | field[0]);
}

/* The path that a 64-bit program of this machine names as its loader, or NULL. */
static const char *
loader_of (const struct head *head)
{
  Elf64_Ehdr file;
  if (head->size < sizeof file || head->bytes[EI_CLASS] != ELFCLASS64)
    return NULL;
  memcpy (&file, head->bytes, sizeof file);
  for (size_t i = 0; i < file.e_phnum; i++)
    {
      Elf64_Phdr part;
      if (file.e_phoff > head->size || i * sizeof part + sizeof part > head->size - file.e_phoff)
        return NULL;
      memcpy (&part, head->bytes + file.e_phoff + i * sizeof part, sizeof part);
      if (part.p_type == PT_INTERP && part.p_offset < head->size)
        return (const char *) head->bytes + part.p_offset;
    }
  return NULL;
}

/* The first word behind "#!". Empty where none is. */
static void
interpreter_of (const struct head *head, char name[MAX_INTERPRETER + 1])
{
  const char *line = (const char *) head->bytes + 2;
  line += strspn (line, " \t");
  (void) snprintf (name, MAX_INTERPRETER + 1, "%.*s", (int) strcspn (line, " \t\n"), line);
}

static void
say_foreign (char text[REASON], const char *label, unsigned int machine)
{
  const char *theirs = machine_name (machine), *ours = machine_name (OWN_MACHINE);
  (void) snprintf (text, REASON,
                   ": %s for linux/%s, and this machine is linux/%s. Emulation runs it: install qemu-user-static and "
                   "binfmt-support here; or build that stage with --platform=$BUILDPLATFORM",
                   label, theirs != NULL ? theirs : "another machine", ours != NULL ? ours : "another one");
}

static void
explain_format (const char *path, const struct head *head, char text[REASON])
{
  char interpreter[MAX_INTERPRETER + 1];
  static struct head other;
  if (head->size == 0)
    (void) snprintf (text, REASON, ": the file is empty");
  else if (is_elf (head) && machine_of (head) != OWN_MACHINE)
    say_foreign (text, "it is a program", machine_of (head));
  else if (is_elf (head))
    (void) snprintf (text, REASON, ": its header is that of a program, but the kernel does not take it: is the file whole?");
  else if (head->bytes[0] == '#' && head->bytes[1] == '!')
    {
      interpreter_of (head, interpreter);
      if (*interpreter != '\0' && strcmp (interpreter, path) != 0 && read_head (interpreter, &other) && is_elf (&other)
          && machine_of (&other) != OWN_MACHINE)
        say_foreign (text, "its interpreter is a program", machine_of (&other));
    }
  else if (memchr (head->bytes, '\0', head->size) == NULL)
    (void) snprintf (text, REASON, ": it is a text without a first line such as \"#!/bin/sh\", which says what runs it");
  else
    (void) snprintf (text, REASON, ": it is no program for linux/%s", machine_name (OWN_MACHINE));
}

/* The file is there, so what it asks for is not. */
static void
explain_absence (const struct head *head, char text[REASON])
{
  char interpreter[MAX_INTERPRETER + 1];
  if (head->bytes[0] == '#' && head->bytes[1] == '!')
    {
      interpreter_of (head, interpreter);
      size_t length = strlen (interpreter);
      bool is_windows = length > 0 && interpreter[length - 1] == '\r';
      if (is_windows)
        interpreter[length - 1] = '\0';
      (void) snprintf (text, REASON, is_windows ? ": its lines end as on Windows, so \"%s\" with a carriage return is looked for"
                                                : ": its interpreter \"%s\" is not there",
                       interpreter);
    }
  else if (is_elf (head) && machine_of (head) != OWN_MACHINE)
    say_foreign (text, "it is a program", machine_of (head));
  else if (is_elf (head))
    {
      const char *loader = loader_of (head);
      if (loader != NULL)
        (void) snprintf (text, REASON, ": its loader \"%.300s\" is not there; it was made for another C library", loader);
    }
}

/* `path` is the file that was tried, or NULL where none was found. */
void
explain (const char *name, const char *path, int error)
{
  static struct head head;
  char reason[REASON] = "", text[2 * REASON];
  if (path != NULL && (error == ENOEXEC || error == ENOENT) && read_head (path, &head))
    {
      if (error == ENOEXEC)
        explain_format (path, &head, reason);
      else
        explain_absence (&head, reason);
    }
  const char *kernel = path == NULL ? "executable file not found in $PATH" : strerror (error);
  int n = snprintf (text, sizeof text, "exec: \"%.800s\": %s%s\n", name, kernel, reason);
  if (n > 0)
    (void) write_all (STDERR_FILENO, text, (size_t) n < sizeof text ? (size_t) n : sizeof text - 1);
  _exit (error == ENOENT || error == ENOTDIR ? STATUS_NOT_FOUND : STATUS_NOT_EXECUTABLE);
}
