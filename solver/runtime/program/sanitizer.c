/* Only in the sanitized program: its settings, because it is started without an environment. Leaks are not looked for:
 * every process here ends by exec or _exit, and what it has allocated lives until then on purpose. What is found goes to
 * /tmp/kiln-sanitizer.<pid>, because nobody reads a worker's standard error. */
const char *__asan_default_options (void);
const char *__ubsan_default_options (void);

const char *
__asan_default_options (void)
{
  return "detect_leaks=0:log_path=/tmp/kiln-sanitizer:detect_stack_use_after_return=1";
}

const char *
__ubsan_default_options (void)
{
  return "print_stacktrace=1:log_path=/tmp/kiln-sanitizer";
}
