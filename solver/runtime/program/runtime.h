/* Declarations shared by the files of kiln-runtime: the parsed plan, the
 * memory shared by supervisor and PID 1, and common helpers (cleanup_fd,
 * die_errno). */
#ifndef KILN_RUNTIME_H
#define KILN_RUNTIME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <unistd.h>

/* Exit statuses of ours. A command's own status travels in the report, so these never collide with it. */
enum { STATUS_FAILED = 125, STATUS_NOT_EXECUTABLE = 126, STATUS_NOT_FOUND = 127 };

/* The one descriptor the driver gives us besides 0, 1 and 2: directives come in, reports go out, and its closing is
 * the order to kill everything. */
enum { CONTROL_FD = 3 };

/* The byte that orders a step to be killed, on a descriptor that is to serve further ones. No plan begins with it. */
enum { KILL_ORDER = 'k' };

static inline void
close_cleanup (const int *fd)
{
  if (*fd >= 0)
    (void) close (*fd);
}
#define cleanup_fd __attribute__ ((cleanup (close_cleanup)))

/* Beside the kernel's MOUNT_ATTR_*, which end far below: `nodev`, but only where the step has no device filter. */
#define ATTR_NODEV_UNLESS_FILTERED (1ULL << 30)

/* A file tree to mount, as the driver described it. `fd` is the detached mount once open_tree_mounts made it. */
struct tree
{
  const char *upper; /* empty: no upper, the tree is read-only */
  const char *work;
  const char *options; /* overlayfs flags without a value, separated by commas */
  const char **lowers; /* topmost first; NULL for a plain directory */
  size_t lower_count;
  const char *directory; /* NULL for an overlay */
  uint64_t attributes;   /* MOUNT_ATTR_* */
  int fd;
};

enum step_kind
{
  STEP_BIND,
  STEP_TREE,
  STEP_FILESYSTEM,
  STEP_FILE,
  STEP_SYMLINK,
  STEP_MASK,
  STEP_READ_ONLY,
  STEP_WORKING_DIRECTORY,
  STEP_DEVICE,
};

/* One thing to do inside the new root, in the order given. Which members count depends on `kind`. */
struct step
{
  enum step_kind kind;
  const char *target; /* absolute, inside the root; not trusted */
  const char *source; /* bind: host path; tree: path inside it; filesystem: its type; symlink: its text */
  const char *options; /* filesystem: key=value, separated by commas */
  uint64_t attributes; /* MOUNT_ATTR_* */
  bool recursive;
  bool keeps_mode; /* filesystem: its root has the mode of the directory that it covers */
  bool optional; /* bind, device: a missing source is not an error */
  struct tree *tree;
  dev_t device; /* device: its number; `mode` then has the type too */
  mode_t mode;
  uid_t uid;
  gid_t gid;
  const char *data;
  size_t size;
};

/* Beside the ports in what a step wished of its network. */
enum { RAW_SOCKET_WISH = 65536 };

struct limit
{
  int resource;
  uint64_t soft, hard;
};

/* Everything the driver said. Strings point into one buffer that lives as long as the process. */
struct plan
{
  const char *chroot;  /* directory; non-NULL: no namespaces and no mounts, only this */
  const char *scratch; /* host directory with the empty directories `root` and `tree` */
  struct tree **trees;
  size_t tree_count;
  struct tree *root;
  struct step *steps;
  size_t step_count;
  int spare_nodes; /* a tmpfs with device nodes to bind, made outside of the step's user namespace; or -1 */
  struct limit *limits;
  size_t limit_count;
  const char **cgroup_procs; /* files to write the pid of PID 1 to (cgroup v1) */
  size_t cgroup_procs_count;
  const char *cgroup_v2; /* directory PID 1 is born in, or NULL */
  const char *device_filter; /* eBPF instructions for that directory, NULL for none */
  size_t device_filter_size;
  const char *uid_map, *gid_map; /* non-NULL: a new user namespace with these maps */
  bool deny_setgroups;
  int namespaces; /* CLONE_NEW* besides the mount and user ones */
  const char **network_helper; /* NULL-terminated argv of the program that leads out of the new network, or NULL */
  const char *hostname;
  bool keep_old_root; /* pivot_root is not allowed: the new root is moved over the old one */
  uid_t uid;
  gid_t gid;
  gid_t *groups;
  size_t group_count;
  bool no_new_privileges; /* set-uid bits and file capabilities have no effect on the command */
  bool keep_groups; /* setgroups is not allowed in a single-id map: leave them */
  uint64_t bounding, permitted, effective, inheritable, ambient;
  const char *seccomp; /* BPF instructions, NULL for none */
  size_t seccomp_size;
  long seccomp_probe; /* number of a system call that must fail with EPERM once the filter is in, or -1 */
  const char *owner_records; /* directory; non-NULL: ids other than one are pretended (pretend.c) */
  bool answers_proc;         /* files of /proc and /dev are handed in when they are opened (proc-files.c) */
  bool watches_network;  /* calls are noted that need a network of the step's own */
  const char *records_beyond; /* directory; non-NULL: owners beyond the ids of the namespace, and devices, are written down */
  uint32_t last_uid, last_gid;
  bool watches_owners; /* it is noted that a command would need that */
  bool *owner_wish;    /* where; shared with the supervisor */
  uint32_t *network_wish; /* where: 0, a port, or RAW_SOCKET_WISH; shared with the supervisor */
  int listener_socket;       /* where the command sends the descriptor of its stopped system calls */
  int supervisor_fd; /* a descriptor of the supervisor as a process, which tells of its death */
  bool inherit_stdio;
  const char **argv, **env; /* NULL-terminated */
  const char *cwd;
};

/* A mount point that was made only to hold a mount. `parent` stays open in the descriptor table that the supervisor
 * and PID 1 share, so the supervisor can remove it when everything inside is dead. */
struct stub
{
  int parent;
  bool is_directory;
  char name[256];
};
enum { MAX_STUBS = 512 };

/* Anonymous memory shared by supervisor and PID 1. The command never sees it: it is gone with exec. */
struct shared
{
  dev_t store_device; /* of the file system that layers and cache mounts are on */
  bool command_ended;
  bool network_is_up;
  uint32_t network_wish;
  bool owner_wish;
  int command_status; /* as from waitpid */
  size_t stub_count;
  struct stub stubs[MAX_STUBS];
};

/* report.c */

/* Called by a process that dies of an error, after its last word: what it must put back. NULL for nothing. */
extern void (*before_death) (void);
/* The part of the sandbox that is being made, which a machine may refuse and a step may do without; NULL for none. A failure
 * names it to the driver, which then tries without. */
extern const char *current_part;
void report (char kind, const void *data, size_t size);
void die (const char *format, ...) __attribute__ ((format (printf, 1, 2), noreturn));
void die_errno (const char *format, ...) __attribute__ ((format (printf, 1, 2), noreturn));
bool write_all (int fd, const void *data, size_t size);

/* directives.c */
struct plan *read_plan (void);

/* A process of ours is told of the calls that the filter stops. */
static inline bool
has_listener (const struct plan *plan)
{
  return plan->owner_records != NULL || plan->records_beyond != NULL || plan->answers_proc || plan->watches_network
         || plan->watches_owners;
}

/* seal.c */
void seal_own_binary (const char *then);

/* serve.c */
int serve (void);

/* enter.c */
void enter_user_namespace (char **argv) __attribute__ ((noreturn));

/* trial.c */
void try_rights (void) __attribute__ ((noreturn));

/* guard.c */
void guard_program (char **argv) __attribute__ ((noreturn));

/* devices.c */
void settle_devices (struct plan *plan, int cgroup_fd);

/* nodes.c */
void make_spare_nodes (struct plan *plan);
void add_device (const struct plan *plan, int root_fd, const struct step *step, struct shared *shared);

/* overlay.c */
void open_tree_mounts (struct plan *plan);

/* mounts.c */
void attach_root (const struct plan *plan);
void run_steps (const struct plan *plan, int root_fd, struct shared *shared);
void pivot_into (int root_fd);
void move_over_root (int root_fd);

/* special.c */
int new_filesystem (const char *type, const char *options, uint64_t attributes);
void mask (int root_fd, const char *path);
void make_read_only (int root_fd, const char *path);
int generated_file (const struct step *step, int directory, bool pretend);

/* stubs.c */
bool is_temporary (int fd, const struct shared *shared);
int open_mount_point (int root_fd, const char *target, bool is_directory, struct shared *shared);
void make_working_directory (int root_fd, const struct step *step, bool pretend);
void remove_stubs (struct shared *shared);

/* namespaces.c */
pid_t clone_into (uint64_t flags, int cgroup_fd);
void write_id_maps (const struct plan *plan, pid_t pid);
void join_cgroups (const struct plan *plan, pid_t pid);
void bring_loopback_up (void);
void have_own_mounts (void);

/* network.c */
void start_network (const struct plan *plan, const struct shared *shared, pid_t init);
void check_network (void);
void stop_network (void);
void wait_for_network (struct shared *shared);

/* caps.c */
void limit_bounding_set (uint64_t bounding);
void set_capabilities (const struct plan *plan);

/* seccomp.c */
void install_seccomp (const struct plan *plan);

/* init.c */
void run_init (const struct plan *plan, struct shared *shared, int gate_fd, const int streams[3], int announce_fd)
  __attribute__ ((noreturn));

/* explain.c */
void explain (const char *name, const char *path, int error) __attribute__ ((noreturn));

/* command.c */
void close_streams (const int streams[3]);
void run_command (const struct plan *plan, const int streams[3], int terminal) __attribute__ ((noreturn));

/* chroot.c */
void run_chrooted (const struct plan *plan, const int streams[3]) __attribute__ ((noreturn));
void adopt_orphans (void);
void kill_descendants (void);

/* pretend.c */

/* supervise.c */
int supervise (struct plan *plan);

#endif
