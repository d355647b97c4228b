import { BuildError } from "../../lib/core/errors.ts";
import { isSandboxPart, type SandboxPart } from "./sandbox-parts.ts";

/** A part of a sandbox that was refused, in the runtime's words. Not every part is one that can be left out. */
export interface Refusal {
  readonly part: string;
  readonly message: string;
}

/** The best isolation of steps that worked on this machine. */
export type Rung =
  /** `overlay`: whether layers can be stacked; trees are copied where they cannot. */
  | { readonly kind: "namespaces"; readonly without: readonly SandboxPart[]; readonly overlay: boolean }
  | { readonly kind: "chroot" }
  | { readonly kind: "none"; readonly reasons: readonly string[] };

/** The rung of a runtime that was not told any. */
export function rungOf({ chroot }: { readonly chroot?: object | undefined }): Rung {
  return chroot === undefined ? { kind: "namespaces", without: [], overlay: true } : { kind: "chroot" };
}

/** Namespaces that can be left out, and what cannot be had without them. */
const OPTIONAL_NAMESPACES: readonly (readonly SandboxPart[])[] = [
  ["uts", "hostname"],
  ["ipc", "mqueue"],
];

/**
 * Names the parts that the next try leaves out after `refused`; none where there is nothing left to try. The kernel refuses all
 * namespaces together and does not say which one it was.
 */
export function partsToLeaveOut(refused: string, without: ReadonlySet<SandboxPart>): readonly SandboxPart[] {
  if (refused === "namespaces")
    return OPTIONAL_NAMESPACES.find((parts) => parts.some((part) => !without.has(part))) ?? [];
  return isSandboxPart(refused) && !without.has(refused) ? [refused] : [];
}

/** Makes the one warning about missing parts of isolation; `undefined` where none matters. */
export function describeMissing(without: ReadonlySet<SandboxPart>): string | undefined {
  const lacks = [
    ...(without.has("proc") ? ["steps see this container's own /proc, with its processes"] : []),
    ...(without.has("hostname") ? ["they have its host name"] : []),
    ...(without.has("ipc") ? ["they share its System V memory and message queues"] : []),
    ...(without.has("devpts") ? ["they have no terminals"] : []),
  ];
  if (lacks.length === 0) return undefined;
  return `this container allows namespaces and mounts but not all of a sandbox: ${lacks.join(", ")}; "kiln doctor" says what refuses them`;
}

/** The error of a step where nothing works. */
export function notAllowed(reasons: readonly string[]): BuildError {
  return new BuildError("runtime/not-allowed", `Cannot run commands here: ${reasons.join("; ")}`, {
    hint: SWITCHES,
  });
}

/** The error of a step whose user is beyond the ids that kiln has. */
export function notMapped(id: string): BuildError {
  return new BuildError(
    "runtime/user-not-mapped",
    `Cannot run a command as ${id}: this user namespace has no such id`,
    {
      hint:
        "give the user of this machine more ids in /etc/subuid and /etc/subgid (usermod --add-subuids, --add-subgids); or build " +
        "with a single id, where every id is pretended: without a line for the user in these files, and with another --root",
    },
  );
}

const SWITCHES =
  "one of three switches allows it: user namespaces on the node (sysctl user.max_user_namespaces, kernel.apparmor_restrict_unprivileged_userns) " +
  "together with seccompProfile: { type: Unconfined } of the pod, or hostUsers: false with that and procMount: Unmasked, or runAsUser: 0 with the " +
  'capability SYS_CHROOT; "kiln doctor" says which one is missing. COPY, ADD, pull and push work without';
