/* What the files of pretended ids share. See pretend.c for the whole. */
#ifndef KILN_PRETEND_H
#define KILN_PRETEND_H

#include "../../../../lib/native/owner-record.h"
#include "answer.h"
#include "runtime.h"

#include <linux/seccomp.h>
#include <sys/stat.h>

/* identities.c */
void first_identity (const struct plan *plan);
const struct identity *identity_of (pid_t pid);
bool is_first_identity (pid_t pid);
bool is_in_group (const struct identity *who, uint32_t gid);
struct answer change_identity (pid_t pid, long call, const uint64_t arguments[6]);
struct answer tell_identity (pid_t pid, long call, const uint64_t arguments[6]);
bool is_change_of_identity (long call);
bool is_question_of_identity (long call);

/* callers.c */
bool read_memory (pid_t pid, uint64_t address, void *into, size_t size);
bool write_memory (pid_t pid, uint64_t address, const void *from, size_t size);
bool read_path (pid_t pid, uint64_t address, char path[4096]);
void prepare_callers (void);
void roots_may_differ (void);
mode_t umask_of (pid_t pid);
int resolve (pid_t pid, int dirfd, const char *path, bool follow);
int resolve_parent (pid_t pid, int dirfd, const char *path, char name[256]);
int use_own_descriptors (void);

/* records.c */
void prepare_records (const struct plan *plan);
bool find_record (int fd, struct owner_record *record);
struct owner_record record_of (int fd);
bool is_on_root (int fd);
int write_record (int fd, const struct owner_record *record);

/* stats.c */
bool is_question_of_status (long call);
struct answer tell_status (const struct seccomp_notif *call, bool one_id_is_root);

/* creations.c */
struct answer answer_creation (const struct seccomp_notif *call);

/* pretend.c, proc-files.c: what is answered, and what is made ready for it in the process that answers. */
struct answering
{
  void (*prepare) (const struct plan *plan);
  struct answer (*give) (const struct seccomp_notif *call);
};
extern const struct answering PRETENDED_IDS, PROC_FILES;

/* listener.c */
void hand_listener_over (int listener, int socket);
pid_t start_answering (struct plan *plan, const struct answering *answering);
bool is_still_asking (uint64_t id);
struct answer hand_descriptor (const struct seccomp_notif *call, int fd, int flags);

#endif
