/* Declarations shared by the addon's files. Every function given to
 * JavaScript returns a number: a non-negative result, or -errno. native.ts
 * turns the latter into errors like those of Node's own fs, so no message is
 * made here. */
#ifndef KILN_ADDON_H
#define KILN_ADDON_H

#define _GNU_SOURCE
#define NAPI_VERSION 8
#include <node_api.h>

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

#include "old-glibc.h"

#define cleanup_fd __attribute__ ((cleanup (close_held)))
#define cleanup_free __attribute__ ((cleanup (free_held)))

static inline void
close_held (const int *fd)
{
  int saved = errno;
  if (*fd >= 0)
    close (*fd);
  errno = saved;
}

static inline void
free_held (void *pointer)
{
  free (*(void **) pointer);
}

/* --- args.c: from JavaScript values to C ones. --- */

#define MAX_ARGS 16
#define MAX_PATH 4096

typedef struct
{
  napi_env env;
  size_t count;
  napi_value values[MAX_ARGS];
  napi_value object; /* the object with the values as properties, where they are no arguments */
} arguments;

/* A path as the kernel takes it. `error` is 0, or ENAMETOOLONG, or EINVAL where the text holds a NUL. */
typedef struct
{
  char bytes[MAX_PATH];
  int error;
} path_argument;

typedef struct
{
  uint8_t *bytes;
  size_t length;
} span;

arguments read_arguments (napi_env env, napi_callback_info info);
/* The call's only argument is an object: its properties in the order of `names`, undefined for those it does not have. */
arguments read_descriptor (napi_env env, napi_callback_info info, const char *const names[], size_t count);
/* Does the same for an object that is a property itself. */
arguments read_properties (napi_env env, napi_value object, const char *const names[], size_t count);
#define COUNT_OF(list) (sizeof (list) / sizeof (list)[0])
/* Tells whether there is such a value. */
bool has_argument (const arguments *args, size_t index);
int int_argument (const arguments *args, size_t index);
uint32_t uint_argument (const arguments *args, size_t index);
int64_t int64_argument (const arguments *args, size_t index);
bool bool_argument (const arguments *args, size_t index);
void path_argument_read (const arguments *args, size_t index, path_argument *out);
span bytes_argument (const arguments *args, size_t index);

/* Reads a list of strings as one block of NUL-terminated names. `starts` has one more item than the list. NULL and an
 * exception pending when the value is not a list of strings, a name holds a NUL, or memory ran out. */
typedef struct
{
  char *bytes;
  size_t *starts;
  size_t count;
} name_list;

bool names_argument (const arguments *args, size_t index, name_list *out);
void names_free (name_list *list);

napi_value number (napi_env env, int64_t value);
/* `result` of a system call: itself, or -errno. */
napi_value outcome (napi_env env, int64_t result);

/* Flags of a scan's entry, beside its numbers. */
enum { HAS_XATTRS = 1 };

/* --- Work that may run on another thread. --- */

/* Place of a job: on the calling thread; on libuv's pool of four threads for
 * everything; or on a thread of its own, for a job that may wait for another
 * process or a reader. */
typedef enum
{
  JOB_NOW,
  JOB_POOL,
  JOB_THREAD
} job_place;

typedef struct job job;
struct job
{
  napi_async_work work;
  napi_threadsafe_function done;
  napi_deferred deferred;
  /* Runs on any thread, without touching JavaScript. */
  void (*run) (job *self);
  /* Runs on the calling thread. */
  napi_value (*finish) (napi_env env, job *self);
  void (*destroy) (job *self);
  napi_ref held;
};

/* Keeps the call's descriptor alive while `run` uses the buffers in it.
 * Nothing changes a descriptor. */
void job_hold (job *self, const arguments *descriptor);
void job_release (napi_env env, job *self);
/* Runs the job and destroys it. Returns the result, or a promise of it from another thread. */
napi_value job_start (napi_env env, job *self, job_place place);

/* --- Calls that glibc has no name for yet. --- */

int open_beneath (int dirfd, const char *path, int flags, mode_t mode, uint64_t resolve);
int set_mode (int dirfd, const char *path, mode_t mode);
ssize_t xattr_list (int dirfd, const char *name, char *out, size_t size);
ssize_t xattr_get (int dirfd, const char *name, const char *key, void *out, size_t size);
int xattr_set (int dirfd, const char *name, const char *key, const void *data, size_t size);
int xattr_remove (int dirfd, const char *name, const char *key);

/* --- shown.c: attributes as steps and layers know them. --- */
const char *shown_name (const char *name);
const char *kept_name (const char *key);
ssize_t shown_get (int dirfd, const char *name, const char *key, void *out, size_t size);
ssize_t shown_list (int dirfd, const char *name, char *out, size_t size);

/* --- names.c: what is in a directory. --- */

/* `type` is a DT_ value, DT_UNKNOWN where the file system does not say. */
typedef int (*name_visit) (void *context, const char *name, int type);
/* Calls `visit` for every name from the descriptor's position on, without
 * "." and "..", in the kernel's order. Ends with -1 and errno at the first
 * call of `visit` that returns less than 0. */
int each_name (int fd, name_visit visit, void *context);

/* --- owners.c: owners that the kernel cannot keep. --- */

bool owners_are_kept (void);
uint32_t own_uid (void);
uint32_t own_gid (void);
int change_mode (int dirfd, const char *path, mode_t mode);
int make_directory (int dirfd, const char *name, mode_t mode);
bool lists_are_kept (void);
int status_of (int dirfd, const char *name, struct statx *status);
int change_owner (int dirfd, const char *name, uint32_t uid, uint32_t gid);
int make_node (int dirfd, const char *name, mode_t mode, uint32_t major, uint32_t minor, dev_t device);
void forget_owner (int dirfd, const char *name);

/* --- The tables, one per file. --- */

typedef struct
{
  const char *name;
  napi_callback function;
} exported;

extern const exported at_functions[], attribute_functions[], content_functions[], scan_functions[], batch_functions[],
    remove_functions[], owner_functions[], pack_functions[], link_functions[], digest_functions[],
    known_functions[], gunzip_functions[];

#endif
