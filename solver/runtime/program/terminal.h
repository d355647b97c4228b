/* The command's own terminal: terminal.c. */
#ifndef KILN_TERMINAL_H
#define KILN_TERMINAL_H

#include <stdbool.h>
#include <stddef.h>

struct plan;

/* Typed input that is not yet passed on. */
struct input
{
  char bytes[4096];
  size_t size;
};

/* Tells whether both input and output of the command are a terminal. */
bool terminal_is_wanted (const struct plan *plan);

/* PID 1's and the command's part. */
int open_terminal (const struct plan *plan, int announce_fd);
void take_terminal (int slave);

/* The supervisor's part. */
void pass_size (int from, int to);
void make_raw (void);
void restore_terminal (void);
bool read_input (struct input *input);
void pass_input (struct input *input, int master);
bool pass_terminal_output (int master);

#endif
