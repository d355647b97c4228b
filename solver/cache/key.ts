import { type Digest, digestOf } from "../../lib/core/digest.ts";
import { canonicalJson, type Json } from "../../lib/core/json.ts";
import { formatPlatform } from "../../lib/core/platform.ts";
import type { KeyPart } from "../../lib/store/model.ts";
import { unreachable } from "../../lib/core/errors.ts";
import { type ExecMount, type ExecOp, type FileAction, GROUP_SIZE, type Op } from "../graph/op.ts";

/** Raise when the meaning of a stored result changes, so that old results are never matched. */
const FORMAT = "kiln step 3";

/** The part that says why a command's rights over files are not those of a root user; absent where they are enforced. */
export const ISOLATION = "isolation";
/** Where one id stands for all, or nothing but chroot is between a command and the rest. */
export type WeakIsolation = "single id" | "chroot";

/** Values up to this many UTF-16 code units stand in a part as they are; longer ones as their digest. */
const SHOWN_LENGTH = 200;
/** Stands before the digest of a value that is not kept. A value that begins so itself is not kept either. */
const SHORTENED = "digest of ";
/** Variables whose values are kept as digests however short, because records are stored, shown and exported. */
const DELICATE = /token|secret|passw|credential|auth|private|api_?key/i;

/**
 * The key of a step known before its inputs have run, of its `definitionText`.
 * Pure, and blind to time, host paths, environment and job count: two machines with the same inputs must agree.
 */
export function keyOfText(text: string): Digest {
  return digestOf(FORMAT + text);
}

/**
 * The text of a definition key, without the format: texts of parts that are no variables may be joined.
 * Variables stand in it as digests of their groups, so that a thousand of them cost a thousand steps nearly nothing.
 */
export function definitionText(parts: readonly KeyPart[]): string {
  let text = "";
  let group: KeyPart[] = [];
  for (const part of parts) {
    if (part.basis !== undefined && part.basis !== "definition") continue;
    const isVariable = part.name.startsWith("ENV ") || part.name.startsWith("ARG ");
    if (group.length === GROUP_SIZE || (group.length > 0 && !isVariable)) {
      text += groupText(group);
      group = [];
    }
    if (isVariable) group.push(part);
    else text += partText(part);
  }
  return group.length === 0 ? text : text + groupText(group);
}

/** No text of a part begins like it. */
function groupText(variables: readonly KeyPart[]): string {
  return `\n${digestOf(variables.map(partText).join(""))}`;
}

/**
 * The key of a step by the contents of its inputs. `undefined` when an input's contents are not known: a `definition`
 * part without the `content` part of the same name.
 */
export function contentKey(parts: readonly KeyPart[]): Digest | undefined {
  const known = new Set<string>();
  let text = `${FORMAT} by content`;
  for (const part of parts) {
    if (part.basis === "content") known.add(part.name);
    if (part.basis === undefined || part.basis === "content") text += partText(part);
  }
  for (const part of parts) if (part.basis === "definition" && !known.has(part.name)) return undefined;
  return digestOf(text);
}

/** Whether two steps ask for the same work, whatever the state of the inputs that other steps make. */
export function sameWork(a: readonly KeyPart[], b: readonly KeyPart[]): boolean {
  return workText(a) === workText(b);
}

/** The parts of the same step where the rights of files are enforced; `undefined` where they are. */
export function strongerParts(parts: readonly KeyPart[]): readonly KeyPart[] | undefined {
  const others = parts.filter((part) => part.name !== ISOLATION);
  return others.length === parts.length ? undefined : others;
}

function workText(parts: readonly KeyPart[]): string {
  let text = "";
  for (const part of parts) if (part.basis === undefined) text += partText(part);
  return text;
}

function partText(part: KeyPart): string {
  // A variable is the same to the command whether ARG or ENV set it; the difference is only shown.
  const name = part.name.startsWith("ARG ") ? `ENV ${part.name.slice(4)}` : part.name;
  return `\n${JSON.stringify(name)}:${JSON.stringify(part.value)}`;
}

/** A value as it stands in a part: itself, or its digest when long. No two values stand in one way. */
export function shownValue(value: string): string {
  return value.length > SHOWN_LENGTH || value.startsWith(SHORTENED) ? shortened(value) : value;
}

/** As JSON, so that values which are not well-formed text keep what makes them differ. */
function shortened(value: string): string {
  return SHORTENED + digestOf(JSON.stringify(value));
}

/**
 * The parts that come from an op alone; inputs add theirs behind. `argNames`: variables that come from ARG, shown so, but
 * of no weight in the key.
 */
export function ownParts(op: Op, argNames: readonly string[]): readonly KeyPart[] {
  if (op.kind !== "exec") return otherParts(op);
  const fromArg = new Set(argNames);
  return [...execParts(op), ...op.env.flat().map((variable) => environmentPart(variable, fromArg))];
}

/**
 * `definitionText(ownParts(op))`, made without the parts: most steps of a build hit, and then nobody asks for them.
 * Remembers the texts of the groups of variables that commands have in common.
 */
export class OwnTexts {
  readonly #groups = new Map<readonly string[], string>();

  of(op: Op): string {
    if (op.kind !== "exec") return definitionText(otherParts(op));
    let text = definitionText(execParts(op));
    for (const group of op.env) text += this.#ofGroup(group);
    return text;
  }

  #ofGroup(group: readonly string[]): string {
    let text = this.#groups.get(group);
    if (text === undefined) {
      text = groupText(group.map((variable) => environmentPart(variable, NO_NAMES)));
      this.#groups.set(group, text);
    }
    return text;
  }
}

const NO_NAMES: ReadonlySet<string> = new Set();

function otherParts(op: Exclude<Op, ExecOp>): readonly KeyPart[] {
  switch (op.kind) {
    case "image": {
      const { kind, manifest, platform, ref, ...unnamed } = op;
      noneOf(unnamed);
      return [
        { name: "kind", value: kind },
        { name: "manifest", value: manifest },
        { name: "platform", value: formatPlatform(platform, "version") },
        { name: "FROM", value: ref, basis: "note" },
      ];
    }
    case "file": {
      // The way to a link's destination is a use of an input, and has its part there.
      const { kind, base, actions, way: _way, ...unnamed } = op;
      noneOf(unnamed);
      return [
        { name: "kind", value: `${kind} on ${base}` },
        ...actions.map((action, index) => actionPart(action, index)),
      ];
    }
    case "local":
    case "git":
    case "http":
    case "merge":
    case "diff":
      return [{ name: "kind", value: op.kind }];
    default:
      return unreachable(op);
  }
}

function environmentPart(variable: string, fromArg: ReadonlySet<string>): KeyPart {
  const equals = variable.indexOf("=");
  const name = equals === -1 ? variable : variable.slice(0, equals);
  const value = equals === -1 ? "" : variable.slice(equals + 1);
  return {
    name: `${fromArg.has(name) ? "ARG" : "ENV"} ${name}`,
    value: DELICATE.test(name) ? shortened(value) : shownValue(value),
  };
}

function execParts(op: ExecOp): KeyPart[] {
  const { kind: _kind, argv, env: _env, cwd, user, platform, network, security, scratchRoot, ...rare } = op;
  const { hostname, shmSizeBytes, cgroupParent, extraHosts, ulimits, mounts, ...unnamed } = rare;
  noneOf(unnamed);
  const parts: KeyPart[] = [
    { name: "kind", value: scratchRoot ? "exec on scratch" : "exec" },
    { name: "command", value: shownValue(canonicalJson(argv)) },
    { name: "WORKDIR", value: cwd },
    { name: "USER", value: user },
    { name: "platform", value: formatPlatform(platform, "version") },
    { name: "network", value: network },
    { name: "security", value: security },
  ];
  const optional = (name: string, value: string | undefined): void => {
    if (value !== undefined) parts.push({ name, value: shownValue(value) });
  };
  optional("hostname", hostname);
  optional("shm size", shmSizeBytes?.toString());
  optional("cgroup parent", cgroupParent);
  if (extraHosts.length > 0) optional("extra hosts", canonicalJson(extraHosts));
  for (const limit of ulimits) optional(`ulimit ${limit.name}`, `${limit.soft}:${limit.hard}`);
  for (const mount of mounts) {
    parts.push({ name: `mount ${mountName(mount)}`, value: shownValue(canonicalJson(mountValue(mount))) });
  }
  return parts;
}

/** Compiles only when every member of an op has been taken out: one that no part names would change results behind the key. */
function noneOf(_unnamed: Readonly<Record<string, never>>): void {
  // The type is all.
}

/** Where a mount is seen, which is how people know it. */
function mountName(mount: ExecMount): string {
  return mount.target ?? (mount.type === "secret" ? `secret ${mount.id}` : mount.type);
}

/** Ids and sharing of caches are left out, as their contents are: a cache never changes what a step means. */
function mountValue(mount: ExecMount): Json {
  switch (mount.type) {
    case "bind":
      return { type: mount.type, mode: mount.mode };
    case "cache":
      return {
        type: mount.type,
        mode: mount.mode,
        permissions: mount.permissions,
        uid: mount.uid,
        gid: mount.gid,
        seeded: mount.seed !== undefined,
      };
    case "tmpfs":
    case "secret":
    case "ssh":
      return mount;
    default:
      return unreachable(mount);
  }
}

function actionPart(action: FileAction, index: number): KeyPart {
  const name = `${action.kind} ${index}`;
  switch (action.kind) {
    case "copy": {
      // What is copied counts by its contents; of the way to it only the last name, which may name the result.
      const { input: _input, source, ...rest } = action;
      const base = source.slice(source.replace(/\/+$/, "").lastIndexOf("/") + 1);
      return { name, value: shownValue(canonicalJson({ ...rest, base })) };
    }
    case "mkfile": {
      const { text, ...rest } = action;
      return { name, value: shownValue(canonicalJson({ ...rest, text: shownValue(text) })) };
    }
    case "mkdir":
    case "rm":
      return { name, value: shownValue(canonicalJson(action)) };
    default:
      return unreachable(action);
  }
}
