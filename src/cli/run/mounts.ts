import { existsSync } from "node:fs";
import { posix, resolve } from "node:path";
import { BuildError } from "../../../lib/core/errors.ts";
import type { RunMount } from "../../../solver/ports.ts";
import { keyValues, malformed } from "../flags/csv.ts";
import { memorySize } from "../flags/values.ts";

/** The three flags that mount something. */
export interface MountFlags {
  readonly volume: readonly string[];
  readonly mount: readonly string[];
  readonly tmpfs: readonly string[];
}

/** Words behind a volume that change nothing here: of SELinux, of macOS, and the propagation that every mount has. */
const VOLUME_WORDS = ["rw", "ro", "z", "Z", "cached", "delegated", "consistent", "private", "rprivate"];

const NO_VOLUMES = "nothing is kept after a run; give a folder of this machine: -v ./data:/data";

/**
 * Reads the mounts of a run.
 * @param place `directory`: relative sources are below it; `isReadOnly`: the image's own files are
 * @throws {BuildError} `cli/usage`
 */
export function readMounts(
  flags: MountFlags,
  place: { readonly directory: string; readonly isReadOnly: boolean },
): readonly RunMount[] {
  const mounts = [
    ...flags.volume.flatMap((text) => readVolume(text, place)),
    ...flags.mount.flatMap((text) => readMount(text, place)),
    ...flags.tmpfs.map(readTmpfs),
  ];
  const seen = new Set<string>();
  for (const { target } of mounts) {
    if (seen.has(target)) {
      throw new BuildError("cli/usage", `Cannot mount twice at ${JSON.stringify(target)}`, {
        hint: "leave one of the two flags out",
      });
    }
    seen.add(target);
  }
  return mounts;
}

type Place = Parameters<typeof readMounts>[1];

/** `./data:/data[:ro]`; `/data` alone is an empty folder for the length of the run. */
function readVolume(text: string, place: Place): RunMount[] {
  const bad = (why: string, hint = 'write it like "./data:/data" or "./data:/data:ro"'): BuildError =>
    malformed("volume", text, why, hint);
  const [source = "", target, options = "", ...rest] = text.split(":");
  if (rest.length > 0) throw bad("it has more than three parts");
  if (target === undefined) return anonymous(targetOf(source, bad), place);
  if (source === "") throw bad("its source is empty");
  const words = options === "" ? [] : options.split(",");
  const unknown = words.find((word) => !VOLUME_WORDS.includes(word));
  if (unknown !== undefined) throw bad(`it cannot be ${JSON.stringify(unknown)}`, "after the target: ro or rw");
  if (!/[/.~]/.test(source)) throw bad(`${JSON.stringify(source)} would be a volume of docker's`, NO_VOLUMES);
  const mode = words.includes("ro") ? "ro" : "rw";
  return [bind({ source, target: targetOf(target, bad), mode }, place, bad)];
}

const MOUNT_KEYS: Readonly<Record<string, string>> = { src: "source", dst: "target", destination: "target" };

function readMount(text: string, place: Place): RunMount[] {
  const bad = (why: string, hint?: string): BuildError => malformed("mount", text, why, hint);
  const given = [...keyValues(text, "mount", "readonly")].map(
    ([key, value]) => [MOUNT_KEYS[key] ?? key, value] as const,
  );
  const values = new Map(given);
  const take = (key: string): string | undefined => {
    const value = values.get(key);
    values.delete(key);
    return value;
  };
  const type = take("type") ?? "volume";
  const readOnly = take("readonly") ?? take("ro");
  const mode = readOnly === undefined || !isTrue(readOnly) ? "rw" : "ro";
  const target = targetOf(take("target") ?? "", bad);
  for (const key of ["consistency", "bind-propagation", "volume-nocopy", "volume-driver"]) take(key);
  const source = take("source");
  const size = take("tmpfs-size");
  const permissions = take("tmpfs-mode");
  const [unknown] = values.keys();
  if (unknown !== undefined)
    throw bad(`unknown key ${JSON.stringify(unknown)}`, "keys: type, source, target, readonly, tmpfs-size, tmpfs-mode");
  switch (type) {
    case "bind":
      if (source === undefined || source === "") throw bad("a bind mount needs a source");
      return [bind({ source, target, mode }, place, bad)];
    case "tmpfs":
      if (source !== undefined) throw bad("a tmpfs has no source");
      return [
        {
          kind: "tmpfs",
          target,
          sizeBytes: size === undefined ? undefined : memorySize(size, "mount"),
          permissions: permissions === undefined ? undefined : octal(permissions, bad),
          noExec: true,
          mode: mode === "ro" ? "ro" : undefined,
        },
      ];
    case "volume":
      if (source !== undefined && source !== "") throw bad("there are no volumes", NO_VOLUMES);
      return anonymous(target, place);
    default:
      throw bad(`there is no type ${JSON.stringify(type)}`, "types: bind, tmpfs");
  }
}

/** `/run:size=64m,mode=755,exec`, in docker's words. */
function readTmpfs(text: string): RunMount {
  const bad = (why: string, hint?: string): BuildError => malformed("tmpfs", text, why, hint);
  const colon = text.indexOf(":");
  const target = targetOf(colon === -1 ? text : text.slice(0, colon), bad);
  let sizeBytes: number | undefined;
  let permissions: number | undefined;
  let mode: "ro" | undefined;
  let noExec = true;
  for (const option of colon === -1 ? [] : text.slice(colon + 1).split(",")) {
    const [name = "", value = ""] = option.split("=", 2);
    if (name === "size") sizeBytes = memorySize(value, "tmpfs");
    else if (name === "mode") permissions = octal(value, bad);
    else if (name === "ro" || name === "rw") mode = name === "ro" ? "ro" : undefined;
    else if (name === "exec" || name === "noexec") noExec = name === "noexec";
    else if (!["", "nosuid", "nodev", "noatime", "relatime"].includes(name)) {
      throw bad(`it cannot be ${JSON.stringify(option)}`, "options: size=, mode=, ro, exec");
    }
  }
  return { kind: "tmpfs", target, sizeBytes, permissions, noExec, mode };
}

/** The image's files are thrown away after the run anyway; where they are read-only, the folder has to be one that is not. */
function anonymous(target: string, { isReadOnly }: Place): RunMount[] {
  return isReadOnly ? [{ kind: "tmpfs", target, sizeBytes: undefined }] : [];
}

function bind(
  { source, target, mode }: { readonly source: string; readonly target: string; readonly mode: "ro" | "rw" },
  { directory }: Place,
  bad: (why: string, hint?: string) => BuildError,
): RunMount {
  const hostPath = resolve(directory, source);
  // docker's -v makes it, as a folder of root's, which is nearly always a mistake in the path.
  if (!existsSync(hostPath)) throw bad(`there is no ${JSON.stringify(hostPath)}`, `mkdir -p ${hostPath}`);
  return { kind: "bind", hostPath, target, mode };
}

/** Checks a place inside: absolute, and neither the root nor what tells of processes. */
function targetOf(text: string, bad: (why: string, hint?: string) => BuildError): string {
  if (!text.startsWith("/")) throw bad(`the place inside, ${JSON.stringify(text)}, is not an absolute path`);
  const target = posix.normalize(text).replace(/(.)\/$/, "$1");
  if (target === "/") throw bad("the place inside cannot be the root", "give a folder below it");
  if (/^\/proc(\/|$)/.test(target))
    throw bad("nothing is mounted in /proc, which tells of the command's own processes");
  return target;
}

function isTrue(text: string): boolean {
  return /^(|1|t|true|readonly|ro)$/i.test(text);
}

function octal(text: string, bad: (why: string) => BuildError): number {
  if (!/^[0-7]{1,4}$/.test(text)) throw bad(`the mode ${JSON.stringify(text)} is not an octal number`);
  return Number.parseInt(text, 8);
}
