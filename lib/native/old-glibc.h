/* The addon loads on glibc 2.28, which the Node beside it needs, whatever the
 * release it is compiled with. Symbols that came or moved later are taken in
 * the version that all releases have, or replaced by their system call. */
#ifndef KILN_OLD_GLIBC_H
#define KILN_OLD_GLIBC_H

#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#if defined __GLIBC__ && defined __x86_64__
#define FIRST_VERSION "GLIBC_2.2.5"
#elif defined __GLIBC__ && defined __aarch64__
#define FIRST_VERSION "GLIBC_2.17"
#endif

#ifdef FIRST_VERSION
/* glibc 2.34 moved the threads from libpthread into libc. */
__asm__ (".symver pthread_create, pthread_create@" FIRST_VERSION);
__asm__ (".symver pthread_join, pthread_join@" FIRST_VERSION);
__asm__ (".symver pthread_attr_setstacksize, pthread_attr_setstacksize@" FIRST_VERSION);
#endif

/* fstat and mknodat are functions of libc since 2.33; on machines with 64 bits
 * `struct stat` is the kernel's. */
static inline int
file_status (int fd, struct stat *status)
{
  return (int) syscall (SYS_fstat, fd, status);
}

static inline int
make_node_at (int dirfd, const char *name, mode_t mode, dev_t device)
{
  return (int) syscall (SYS_mknodat, dirfd, name, mode, (unsigned int) device);
}

#endif
