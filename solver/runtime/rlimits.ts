/** Names of `--ulimit` and the kernel's numbers for them (include/uapi/asm-generic/resource.h). */
export const RLIMITS: ReadonlyMap<string, number> = new Map([
  ["core", 4],
  ["cpu", 0],
  ["data", 2],
  ["fsize", 1],
  ["locks", 10],
  ["memlock", 8],
  ["msgqueue", 12],
  ["nice", 13],
  ["nofile", 7],
  ["nproc", 6],
  ["rss", 5],
  ["rtprio", 14],
  ["rttime", 15],
  ["sigpending", 11],
  ["stack", 3],
]);
