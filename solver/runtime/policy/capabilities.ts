/** Capability names in the kernel's order: the index is the bit (include/uapi/linux/capability.h). */
export const CAPABILITIES = [
  "CHOWN",
  "DAC_OVERRIDE",
  "DAC_READ_SEARCH",
  "FOWNER",
  "FSETID",
  "KILL",
  "SETGID",
  "SETUID",
  "SETPCAP",
  "LINUX_IMMUTABLE",
  "NET_BIND_SERVICE",
  "NET_BROADCAST",
  "NET_ADMIN",
  "NET_RAW",
  "IPC_LOCK",
  "IPC_OWNER",
  "SYS_MODULE",
  "SYS_RAWIO",
  "SYS_CHROOT",
  "SYS_PTRACE",
  "SYS_PACCT",
  "SYS_ADMIN",
  "SYS_BOOT",
  "SYS_NICE",
  "SYS_RESOURCE",
  "SYS_TIME",
  "SYS_TTY_CONFIG",
  "MKNOD",
  "LEASE",
  "AUDIT_WRITE",
  "AUDIT_CONTROL",
  "SETFCAP",
  "MAC_OVERRIDE",
  "MAC_ADMIN",
  "SYSLOG",
  "WAKE_ALARM",
  "BLOCK_SUSPEND",
  "AUDIT_READ",
  "PERFMON",
  "BPF",
  "CHECKPOINT_RESTORE",
] as const;

export type Capability = (typeof CAPABILITIES)[number];

/** Default capabilities of a step's root: the set of every container engine. */
const DEFAULT_CAPABILITIES: readonly Capability[] = [
  "CHOWN",
  "DAC_OVERRIDE",
  "FSETID",
  "FOWNER",
  "MKNOD",
  "NET_RAW",
  "SETGID",
  "SETUID",
  "SETFCAP",
  "SETPCAP",
  "NET_BIND_SERVICE",
  "SYS_CHROOT",
  "KILL",
  "AUDIT_WRITE",
];

/**
 * Reads names as people write them: `NET_ADMIN`, `cap_net_admin`; `ALL` is every one.
 * @returns the names that there are, and the first that there is not
 */
export function readCapabilities(names: readonly string[]): {
  readonly found: readonly Capability[];
  readonly unknown: string | undefined;
} {
  const plain = names.map((name) => name.toUpperCase().replace(/^CAP_/, ""));
  const found = plain.includes("ALL") ? CAPABILITIES : CAPABILITIES.filter((name) => plain.includes(name));
  const known = new Set<string>([...CAPABILITIES, "ALL"]);
  return { found, unknown: names.find((_, index) => !known.has(plain[index] ?? "")) };
}

/** The five sets of a process as bit masks. */
export interface CapabilitySets {
  readonly bounding: bigint;
  readonly permitted: bigint;
  readonly effective: bigint;
  readonly inheritable: bigint;
  readonly ambient: bigint;
}

export function capabilityMask(names: readonly Capability[]): bigint {
  return names.reduce((mask, name) => mask | (1n << BigInt(CAPABILITIES.indexOf(name))), 0n);
}

/**
 * Computes the sets of a command. `held` is the runtime's own set (the CapBnd line of /proc/self/status), an upper
 * limit. A sandboxed user other than root starts with nothing, and gets the bounding set only through a setuid program.
 */
export function capabilitySets(
  security: "sandbox" | "insecure",
  at: {
    readonly uid: number;
    readonly held: bigint;
    readonly with?: readonly Capability[];
    readonly without?: readonly Capability[];
  },
): CapabilitySets {
  if (security === "insecure") {
    return { bounding: at.held, permitted: at.held, effective: at.held, inheritable: at.held, ambient: at.held };
  }
  const usual = capabilityMask([...DEFAULT_CAPABILITIES, ...(at.with ?? [])]);
  const bounding = usual & at.held & ~capabilityMask(at.without ?? []);
  const own = at.uid === 0 ? bounding : 0n;
  return { bounding, permitted: own, effective: own, inheritable: 0n, ambient: 0n };
}
