/* Settings of the sanitized program only, because it is started without an
 * environment. Leaks are not reported: every process here ends by exec or
 * _exit, and keeps its memory until then on purpose. Reports go to
 * /tmp/kiln-sanitizer.<pid>, because a worker's standard error is not read. */
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
