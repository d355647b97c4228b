/**
 * Parts of a sandbox that a machine may refuse, and that a step can do without. Where one is missing:
 *
 * - `hostname`: the step has this machine's or container's own name
 * - `proc`: it sees the container's /proc, with what is masked there and with us, and the processes of the container
 * - `sysfs`: it sees the container's /sys
 * - `pivot_root`: its root is moved over the old one, and chroot leads into it
 * - `uts`, `ipc`, `cgroup`: it shares that namespace
 * - `mqueue`, `devpts`: it lacks that file system
 */
export const SANDBOX_PARTS = [
  "hostname",
  "proc",
  "sysfs",
  "pivot_root",
  "uts",
  "ipc",
  "cgroup",
  "mqueue",
  "devpts",
] as const;

export type SandboxPart = (typeof SANDBOX_PARTS)[number];

export function isSandboxPart(text: string): text is SandboxPart {
  const parts: readonly string[] = SANDBOX_PARTS;
  return parts.includes(text);
}

/** The cause of an error of the runtime: what of the sandbox the machine refused. Not every refusal is of a part one can do without. */
export class Refused extends Error {
  readonly part: string;

  constructor(part: string, text: string) {
    super(text);
    this.part = part;
  }
}
