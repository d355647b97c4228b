import type { Limits, Setting } from "./limits.ts";
import { type Capability, capabilityMask } from "./policy/capabilities.ts";
import type { Refusal } from "./rung.ts";

/** A reason why this machine or container refuses something, and the one line that changes it, by its place. */
export interface Cause {
  readonly cause: string;
  readonly fixes: Readonly<Partial<Record<Place, string>>>;
}

export const PLACES = ["machine", "docker", "podman", "kubernetes", "gitlab", "github"] as const;
export type Place = (typeof PLACES)[number];

/** Facts about the process that met the refusals. */
export interface Circumstances {
  readonly limits: Limits;
  /** True when it may mount: it is root, or root of a user namespace. */
  readonly maySysAdmin: boolean;
}

/** The causes of refusals, the one that stands in the way of most first, each once. */
export function causesOf(refusals: readonly Refusal[], circumstances: Circumstances): Cause[] {
  const found = refusals.flatMap((refusal) => causesOfOne(refusal, circumstances));
  return [...new Map(found.map((one) => [one.cause, one])).values()];
}

function causesOfOne({ part, message }: Refusal, { limits, maySysAdmin }: Circumstances): Cause[] {
  if (part === "command") return /exec: .*Permission denied/.test(message) ? [NO_PROGRAMS] : [];
  if (part === "chroot") return maySysAdmin ? [] : chrootCauses(limits, message);
  // Only root of some namespace may make any of it, so the user namespace is missing.
  if (!maySysAdmin) return userNamespaceCauses(limits, message);
  switch (part) {
    case "hostname":
      return [refusedCall("sethostname", limits, message)];
    case "pivot_root":
      return /Invalid argument/.test(message) ? [] : [refusedCall("pivot_root", limits, message)];
    case "proc":
    case "sysfs":
      return /Operation not permitted/.test(message) ? [hiddenProc(limits)] : [refusedCall("mount", limits, message)];
    case "namespaces":
    case "uts":
    case "ipc":
    case "cgroup":
      return namespaceCauses(limits, message);
    case "overlay":
      return /Operation not permitted|Permission denied/.test(message) && limits.isFiltered
        ? [overlayOnOverlay(message), refusedCall("mount", limits, message)].slice(0, 1)
        : [overlayOnOverlay(message)];
    case "mounts":
    case "tmpfs":
    case "devpts":
    case "mqueue":
      return [refusedCall("mount", limits, message)];
    default:
      return [{ cause: message, fixes: {} }];
  }
}

const UNCONFINED = {
  docker: "docker run --security-opt seccomp=unconfined",
  podman: "podman run --security-opt seccomp=unconfined",
  kubernetes: "securityContext: { seccompProfile: { type: Unconfined } }",
  gitlab: 'config.toml, [runners.docker]: security_opt = ["seccomp=unconfined"]',
  github: "container: { options: --security-opt seccomp=unconfined }",
} as const;

/** A call that this process has the capability for: a filter or a security module stands before it. */
function refusedCall(call: string, limits: Limits, message: string): Cause {
  if (/Permission denied/.test(message) && limits.label !== undefined) return refusedByLabel(call, limits.label);
  if (/Function not implemented/.test(message) && !limits.isFiltered) {
    return { cause: `this kernel does not have ${call} as kiln needs it`, fixes: { machine: "Linux 5.12 or later" } };
  }
  if (limits.isFiltered) return { cause: `seccomp of this container blocks ${call}`, fixes: UNCONFINED };
  return { cause: `this machine refuses ${call}: ${message}`, fixes: {} };
}

function refusedByLabel(call: string, label: string): Cause {
  if (label.includes(":")) {
    return {
      cause: `SELinux (${label}) refuses ${call}`,
      fixes: {
        docker: "docker run --security-opt label=disable",
        podman: "podman run --security-opt label=disable",
        kubernetes: "securityContext: { seLinuxOptions: { type: spc_t } }",
        gitlab: 'config.toml, [runners.docker]: security_opt = ["label=disable"]',
        github: "container: { options: --security-opt label=disable }",
      },
    };
  }
  return {
    cause: `the AppArmor profile ${label} refuses ${call}`,
    fixes: {
      docker: "docker run --security-opt apparmor=unconfined",
      podman: "podman run --security-opt apparmor=unconfined",
      kubernetes: "securityContext: { appArmorProfile: { type: Unconfined } }",
      gitlab: 'config.toml, [runners.docker]: security_opt = ["apparmor=unconfined"]',
      github: "container: { options: --security-opt apparmor=unconfined }",
    },
  };
}

function hiddenProc(limits: Limits): Cause {
  const paths = limits.hiddenInProc.slice(0, 3).join(", ");
  return {
    cause: `parts of /proc are hidden in this container${paths === "" ? "" : ` (${paths}, ...)`}, so the kernel grants no new one`,
    fixes: {
      docker: "docker run --security-opt systempaths=unconfined",
      podman: "podman run --security-opt unmask=ALL",
      kubernetes: "spec: { hostUsers: false } and securityContext: { procMount: Unmasked }",
      gitlab: 'config.toml, [runners.docker]: security_opt = ["systempaths=unconfined"]',
      github: "container: { options: --security-opt systempaths=unconfined }",
    },
  };
}

function overlayOnOverlay(message: string): Cause {
  return {
    cause: `overlayfs cannot be used on the store's disk (${message.replace(/^.*sandbox: /, "")})`,
    fixes: {
      machine: "modprobe overlay; or --root on ext4, XFS or btrfs",
      docker: "docker run -v kiln:/var/lib/kiln",
      podman: "podman run -v kiln:/var/lib/kiln",
      kubernetes:
        "volumeMounts: [{ name: store, mountPath: /var/lib/kiln }] with volumes: [{ name: store, emptyDir: {} }]",
      gitlab: 'config.toml, [runners.docker]: volumes = ["/var/lib/kiln"]',
      github: "container: { volumes: [kiln:/var/lib/kiln] }",
    },
  };
}

const ON_NODE = { kubernetes: "on the node, as root", gitlab: "on the runner, as root" } as const;

const NO_PROGRAMS: Cause = {
  cause: "the store's disk runs no programs (it is mounted noexec), so no command of an image starts",
  fixes: {
    machine: "mount -o remount,exec on that disk; or --root on another one",
    docker: "docker run --tmpfs /tmp:exec; or -v kiln:/var/lib/kiln",
    podman: "podman run --tmpfs /tmp:exec; or -v kiln:/var/lib/kiln",
    kubernetes:
      "volumeMounts: [{ name: store, mountPath: /var/lib/kiln }] with volumes: [{ name: store, emptyDir: {} }]",
    gitlab: 'config.toml, [runners.docker]: volumes = ["/var/lib/kiln"]',
    github: "container: { volumes: [kiln:/var/lib/kiln] }",
  },
};

/** A setting of the machine, which containers on it share. */
function setting(name: Setting, value: number, cause: string): Cause {
  const line = `sysctl -w ${name.replace("/", ".")}=${value}`;
  const { kubernetes, gitlab } = ON_NODE;
  return {
    cause,
    fixes: {
      machine: line,
      docker: `on the machine: ${line}`,
      podman: `on the machine: ${line}`,
      kubernetes: `${kubernetes}: ${line}`,
      gitlab: `${gitlab}: ${line}`,
      github: `- run: sudo ${line}`,
    },
  };
}

/** Finds the reason for a missing user namespace: this process is not root, or is a root that may not mount. */
function userNamespaceCauses(limits: Limits, message: string): Cause[] {
  const causes = settingCauses(limits);
  if (limits.isFiltered) causes.push({ cause: "seccomp of this container blocks unshare", fixes: UNCONFINED });
  if (causes.length > 0) return causes;
  if (limits.label !== undefined) return [refusedByLabel("user namespaces", limits.label)];
  if (limits.isRoot && !has(limits, "SETFCAP")) return [NO_OWN_ROOT];
  return [{ cause: `this machine refuses a user namespace: ${message.replace(/^.*sandbox: /, "")}`, fixes: {} }];
}

/** Since Linux 5.12 root may be mapped into a new user namespace only with this capability, by which files get theirs. */
const NO_OWN_ROOT: Cause = {
  cause: "this root lacks the capability SETFCAP, so the kernel does not map it into a user namespace",
  fixes: {
    machine: "run kiln as a plain user, which needs no capability for that",
    docker: "docker run --user 1000; or --cap-add SETFCAP",
    podman: "podman run --user 1000; or --cap-add SETFCAP",
    kubernetes: "securityContext: { runAsUser: 1000 }; or capabilities: { add: [SETFCAP] }",
    gitlab: 'config.toml, [runners.docker]: cap_add = ["SETFCAP"]',
    github: "container: { options: --cap-add SETFCAP }",
  },
};

function settingCauses({ settings }: Limits): Cause[] {
  const causes: Cause[] = [];
  if (settings["user/max_user_namespaces"] === 0) {
    causes.push(setting("user/max_user_namespaces", 15_000, "user.max_user_namespaces is 0"));
  }
  if (settings["kernel/unprivileged_userns_clone"] === 0) {
    causes.push(setting("kernel/unprivileged_userns_clone", 1, "kernel.unprivileged_userns_clone is 0"));
  }
  if (settings["kernel/apparmor_restrict_unprivileged_userns"] === 1) {
    const name = "kernel/apparmor_restrict_unprivileged_userns";
    causes.push(setting(name, 0, "AppArmor restricts user namespaces (Ubuntu 24.04)"));
  }
  return causes;
}

const KINDS = ["mnt", "pid", "uts", "ipc", "cgroup", "net"] as const;

function namespaceCauses(limits: Limits, message: string): Cause[] {
  const exhausted = KINDS.filter((kind) => limits.settings[`user/max_${kind}_namespaces`] === 0);
  if (exhausted.length > 0) {
    return exhausted.map((kind) => setting(`user/max_${kind}_namespaces`, 15_000, `user.max_${kind}_namespaces is 0`));
  }
  return [refusedCall("namespaces", limits, message)];
}

function chrootCauses(limits: Limits, message: string): Cause[] {
  if (!has(limits, "SYS_CHROOT")) return [noChroot(limits)];
  return [{ cause: `nor does chroot work: ${message.replace(/^.*sandbox: /, "")}`, fixes: {} }];
}

function has({ capabilities }: Limits, name: Capability): boolean {
  return (capabilities & capabilityMask([name])) !== 0n;
}

function noChroot(limits: Limits): Cause {
  const why = limits.hasNoNewPrivileges ? "no-new-privileges is set and " : "";
  return {
    cause: `${why}the capability SYS_CHROOT is missing, so chroot is no way out`,
    fixes: {
      docker: "docker run --user 0 --cap-add SYS_CHROOT",
      podman: "podman run --user 0 --cap-add SYS_CHROOT",
      kubernetes: "securityContext: { runAsUser: 0, capabilities: { add: [SYS_CHROOT] } }",
      gitlab: 'config.toml, [runners.docker]: cap_add = ["SYS_CHROOT"]',
      github: "container: { options: --user 0 --cap-add SYS_CHROOT }",
    },
  };
}
