/* Declarations shared by the files for pretended ids. See pretend.c for the
 * whole. */
#ifndef KILN_PRETEND_H
#define KILN_PRETEND_H

#include "../../../../lib/native/access-list.h"
#include "../../../../lib/native/owner-record.h"
#include "answer.h"
#include "runtime.h"

#include <dirent.h>
#include <linux/seccomp.h>
#include <sys/stat.h>

/* holders.c */
void first_identity (const struct plan *plan);
const struct identity *identity_of (pid_t pid);
uint64_t identity_number (pid_t pid);
bool is_first_identity (pid_t pid);
struct answer become (pid_t pid, const struct identity *caller);

/* true-ids.c */
const struct identity *true_identity (pid_t pid);

/* identities.c */
bool is_in_group (const struct identity *caller, uint32_t gid);
struct answer change_identity (pid_t pid, long call, const uint64_t arguments[6]);
struct answer tell_identity (pid_t pid, long call, const uint64_t arguments[6]);
bool is_change_of_identity (long call);
bool is_question_of_identity (long call);

/* capabilities.c */
bool has_capability (const struct identity *caller, int capability);
void follow_user (const struct identity *before, struct identity *caller);
void follow_file_user (const struct identity *before, struct identity *caller);
struct answer tell_capabilities (pid_t pid, const uint64_t arguments[6]);
struct answer change_capabilities (pid_t pid, const uint64_t arguments[6]);
struct answer control_process (pid_t pid, const uint64_t arguments[6]);

/* limits.c */
struct answer answer_limit (pid_t pid, long call, const uint64_t arguments[6]);

/* programs.c */
struct answer start_program (const struct seccomp_notif *call, int dirfd, uint64_t path, int flags);

/* callers.c */
bool read_memory (pid_t pid, uint64_t address, void *into, size_t size);
bool write_memory (pid_t pid, uint64_t address, const void *from, size_t size);
bool read_path (pid_t pid, uint64_t address, char path[4096]);
void prepare_callers (void);
void roots_may_differ (void);
mode_t umask_of (pid_t pid);
bool may_gain_privileges (pid_t pid);
const char *status_line (pid_t pid, const char *label, char text[4096]);
pid_t process_called (pid_t caller, int number);
bool is_running (pid_t pid, uint64_t device, uint64_t inode);
DIR *open_processes (void);
int resolve (pid_t pid, int dirfd, const char *path, bool follow);
int resolve_parent (pid_t pid, int dirfd, const char *path, char name[256]);
int use_own_descriptors (void);

/* records.c */
void prepare_records (const struct plan *plan);
bool find_record (int fd, struct owner_record *record);
struct owner_record record_of (int fd);
bool is_on_root (int fd);
bool ids_are_true (void);
bool is_beyond (uint32_t uid, uint32_t gid);
int write_record (int fd, const struct owner_record *record);

/* stats.c */
bool is_question_of_status (long call);
struct answer tell_status (const struct seccomp_notif *call, bool one_id_is_root);

/* lists.c */
bool find_list (int fd, const char *record, struct access_list *list);
int write_list (int fd, const char *record, const struct access_list *list);
int remove_list (int fd, const char *record);
int change_access_list (int fd, struct access_list *list, bool keeps_set_gid);

/* attributes.c */
bool is_about_attributes (long call);
struct answer answer_attributes (const struct seccomp_notif *call, bool one_id_is_root);

/* rights.c */
bool may_reach (const struct identity *caller, int directory);
bool may_add_name (const struct identity *caller, int directory);
bool may_open (const struct identity *caller, int parent, int fd, int flags);
struct answer check_removal (const struct seccomp_notif *call, int dirfd, uint64_t path);
struct answer check_rename (const struct seccomp_notif *call, int from_fd, uint64_t from, int into_fd, uint64_t into);
struct answer check_link (const struct seccomp_notif *call, int from_fd, uint64_t from, int into_fd, uint64_t into);
struct answer check_mode (const struct seccomp_notif *call, int fd, mode_t mode);
struct answer check_times (const struct seccomp_notif *call, int fd, bool are_now);
struct answer tell_access (const struct seccomp_notif *call, int parent, int fd, unsigned int wanted, bool by_effective);

/* changes.c */
bool is_change (long call);
struct answer check_change (const struct seccomp_notif *call);

/* stand-ins.c */
void prepare_devices (void);
int open_stand_in (const struct owner_record *record, int flags);

/* creations.c */
struct answer answer_creation (const struct seccomp_notif *call, bool one_id_is_root);

/* pretend.c, proc-files.c: what is answered, and what is made ready for it in the process that answers. */
struct answering
{
  void (*prepare) (const struct plan *plan);
  struct answer (*give) (const struct seccomp_notif *call);
};
extern const struct answering PRETENDED_IDS, PROC_FILES, WATCHED_CALLS;

/* network-calls.c */
void prepare_network_calls (const struct plan *plan);
bool is_network_call (long number);
struct answer note_network_call (const struct seccomp_notif *call);

/* listener.c */
void hand_listener_over (int listener, int socket);
pid_t start_answering (struct plan *plan, const struct answering *answering);
bool is_still_asking (uint64_t id);
struct answer hand_descriptor (const struct seccomp_notif *call, int fd, int flags);

#endif
