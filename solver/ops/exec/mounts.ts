import { chmod, rmdir } from "node:fs/promises";
import { basename, dirname } from "node:path";
import { BuildError, unreachable } from "../../../lib/core/errors.ts";
import { AT_FDCWD } from "../../../lib/native/constants.ts";
import type { Native } from "../../../lib/native/native.ts";
import type { CacheMounts } from "../../../lib/store/store.ts";
import type { ExecMount, ExecOp, FileOp } from "../../graph/op.ts";
import { plainCopy } from "../../graph/plain-copy.ts";
import { MAX_SECRET_BYTES, type RunMount, type SecretSource, type Snapshotter, type SshSource } from "../../ports.ts";
import { forwardTo, listenAsAgent } from "./agent-socket.ts";
import { mountParts } from "../../cache/uses.ts";
import type { FileWork, InputTree } from "../file/file-work.ts";
import type { Selection } from "../../select/select.ts";

export interface MountDeps {
  readonly native: Native;
  readonly snapshotter: Snapshotter;
  readonly cacheMounts: CacheMounts;
  readonly files: FileWork;
  /** Selections from local directories, by name of the part. */
  readonly selected: ReadonlyMap<string, Selection>;
  readonly secrets: SecretSource;
  readonly ssh: SshSource;
  /** Host directory for sockets; made on demand. */
  readonly socketDirectory: string;
}

/** An input in a form that can be mounted; a stack's layers are present. */
export type MountInput = {
  readonly tree: InputTree;
  /** Key of the input's files, for names of seeded caches. */
  readonly key: string;
};

export interface OpenMounts extends AsyncDisposable {
  readonly mounts: readonly RunMount[];
  /** `NAME=value`. */
  readonly secretEnv: readonly string[];
}

type Of<T extends ExecMount["type"]> = Extract<ExecMount, { readonly type: T }>;

/**
 * Opens everything that a command mounts besides its root. Disposing releases the claims on caches and discards the
 * changes in read-write binds.
 */
export async function openMounts(
  op: ExecOp,
  inputs: readonly (MountInput | undefined)[],
  deps: MountDeps,
  signal: AbortSignal,
): Promise<OpenMounts> {
  const open = new AsyncDisposableStack();
  try {
    const parts = mountParts(op);
    const caches = await openCaches(op, { inputs, parts }, deps, open, signal);
    const mounts: RunMount[] = [];
    const secretEnv: string[] = [];
    for (const mount of op.mounts) {
      switch (mount.type) {
        case "bind":
          mounts.push(
            await openBind(mount, { input: inputs[mount.input], part: parts.get(mount) }, deps, open, signal),
          );
          break;
        case "cache": {
          const hostPath = caches.get(mount);
          if (hostPath === undefined) throw new Error("A cache mount was not opened");
          mounts.push({ kind: "bind", hostPath, target: mount.target, mode: mount.mode });
          break;
        }
        case "tmpfs":
          mounts.push({ kind: "tmpfs", target: mount.target, sizeBytes: mount.sizeBytes, mode: mount.mode });
          break;
        case "secret": {
          const data = await readSecret(mount, deps.secrets, signal);
          // A missing optional secret is no file, but an empty variable.
          if (mount.env !== undefined) secretEnv.push(`${mount.env}=${secretText(mount.id, data)}`);
          if (mount.target !== undefined && data !== undefined) {
            const { target, permissions, uid, gid } = mount;
            mounts.push({ kind: "secret", target, data, permissions, uid, gid });
          }
          break;
        }
        case "ssh": {
          const hostPath = await findAgent(mount, deps.ssh, signal);
          if (hostPath === undefined) break;
          // A socket of our own in front, with the owner and permissions that the step asks for.
          const { target, permissions, uid, gid } = mount;
          const owner = { uid, gid, native: deps.native };
          const socket = await listenAsAgent(
            { directory: deps.socketDirectory, permissions, owner },
            forwardTo(hostPath),
          );
          mounts.push({ kind: "socket", hostPath: open.use(socket).path, target });
          break;
        }
        default:
          unreachable(mount);
      }
    }
    const opened = open.move();
    return { mounts, secretEnv, [Symbol.asyncDispose]: () => opened.disposeAsync() };
  } finally {
    await open.disposeAsync();
  }
}

async function openBind(
  mount: Of<"bind">,
  { input, part = "" }: { readonly input: MountInput | undefined; readonly part: string | undefined },
  deps: MountDeps,
  open: AsyncDisposableStack,
  signal: AbortSignal,
): Promise<RunMount> {
  if (input === undefined) throw new Error("A bind mount has no input");
  const { target, mode } = mount;
  if (input.tree.kind === "local") {
    // A copy of exactly the files that count: the mount must not show ignored files.
    const copy = open.use(await deps.snapshotter.prepare([], signal));
    const { directories } = copy;
    const { selected } = deps;
    await deps.files.run(
      copyOf(mount.source, COPIED),
      { directories, inputs: [input.tree], selected, partOf: () => part },
      signal,
    );
    return { kind: "tree", tree: await copy.mount(signal), source: COPIED, target, mode };
  }
  const tree =
    mode === "rw"
      ? open.use(await deps.snapshotter.prepare(input.tree.stack, signal))
      : open.use(await deps.snapshotter.view(input.tree.stack, signal));
  return { kind: "tree", tree: await tree.mount(signal), source: mount.source, target, mode };
}

/**
 * Claims every cache once, in order of name. Otherwise two commands could wait for each other for ever, each with one
 * cache locked.
 */
async function openCaches(
  op: ExecOp,
  {
    inputs,
    parts,
  }: { readonly inputs: readonly (MountInput | undefined)[]; readonly parts: ReadonlyMap<ExecMount, string> },
  deps: MountDeps,
  open: AsyncDisposableStack,
  signal: AbortSignal,
): Promise<ReadonlyMap<ExecMount, string>> {
  const names = new Map<ExecMount, string>();
  const wanted = new Map<string, Of<"cache">>();
  for (const mount of op.mounts) {
    if (mount.type !== "cache") continue;
    const name = cacheName(mount, inputs, deps.selected.get(parts.get(mount) ?? ""));
    names.set(mount, name);
    const other = wanted.get(name);
    // For one id twice in one command, the stricter sharing holds for both.
    if (other === undefined || strictness(mount) > strictness(other)) wanted.set(name, mount);
  }
  const directories = new Map<string, string>();
  for (const [name, mount] of [...wanted].toSorted(([a], [b]) => (a < b ? -1 : 1))) {
    const claim = open.use(await deps.cacheMounts.claim(name, mount.sharing, signal));
    directories.set(name, claim.directory);
    if (!claim.isNew) continue;
    const seed = mount.seed === undefined ? undefined : inputs[mount.seed.input];
    if (mount.seed === undefined || seed === undefined) {
      deps.native.fchownat(AT_FDCWD, claim.directory, mount.uid, mount.gid);
      await chmod(claim.directory, mount.permissions);
    } else {
      await seedCache(claim.directory, { ...mount.seed, tree: seed.tree }, deps, signal);
    }
    claim.seeded();
  }
  const byMount = new Map<ExecMount, string>();
  for (const [mount, name] of names) {
    const directory = directories.get(name);
    if (directory !== undefined) byMount.set(mount, directory);
  }
  return byMount;
}

/** Replaces an empty cache directory by its seed, with the seed's own owner and mode. */
async function seedCache(
  directory: string,
  from: { readonly tree: InputTree; readonly input: number; readonly source: string },
  deps: MountDeps,
  signal: AbortSignal,
): Promise<void> {
  const { tree, source } = from;
  await rmdir(directory);
  await deps.files.run(
    copyOf(source, `/${basename(directory)}`),
    { directories: [dirname(directory)], inputs: [tree] },
    signal,
  );
  const { matches } = await deps.files.select({ kind: "path", part: "", input: from.input, source }, tree, signal);
  const [node] = matches.map((match) => match.node);
  // The root of a local directory is created with default metadata, as for COPY.
  if (node?.isDirectory !== true || (tree.kind === "local" && /^[/.]*$/.test(source))) return;
  const keepsOwner = tree.kind === "stack" || tree.op.owners === "kept";
  deps.native.fchownat(AT_FDCWD, directory, keepsOwner ? node.uid : 0, keepsOwner ? node.gid : 0);
  await chmod(directory, node.mode & 0o7777);
}

function strictness(mount: Of<"cache">): number {
  return ["shared", "private", "locked"].indexOf(mount.sharing);
}

/**
 * Makes a cache's name. The seed is part of it: another seed, owner or mode is another cache. Otherwise an earlier step
 * of root could lock out the user of this one.
 */
function cacheName(
  mount: Of<"cache">,
  inputs: readonly (MountInput | undefined)[],
  selection: Selection | undefined,
): string {
  const { id, seed, uid, gid, permissions } = mount;
  if (seed !== undefined) {
    const input = inputs[seed.input];
    // A local directory has the same key whatever its content.
    const held = input?.tree.kind === "local" ? `${selection?.digest ?? ""} ` : "";
    return `${id} from ${input?.key ?? ""} ${held}${seed.source}`;
  }
  const isUsual = uid === 0 && gid === 0 && permissions === 0o755;
  return isUsual ? id : `${id} of ${uid}:${gid} ${permissions.toString(8)}`;
}

/** Decodes a secret. Every byte counts, also those of a byte order mark. */
function secretText(id: string, data: Uint8Array | undefined): string {
  const text = new TextDecoder("utf-8", { ignoreBOM: true }).decode(data);
  if (data === undefined || Buffer.from(text).equals(data)) return text;
  throw new BuildError("secret/unreadable", `Cannot give secret ${JSON.stringify(id)} as a variable: it is not UTF-8`, {
    hint: `give it as a file: RUN --mount=type=secret,id=${id}`,
  });
}

async function readSecret(
  mount: Of<"secret">,
  secrets: SecretSource,
  signal: AbortSignal,
): Promise<Uint8Array | undefined> {
  const data = await secrets.get(mount.id, signal);
  if (data === undefined && mount.required) {
    throw new BuildError(
      "secret/not-found",
      `Cannot mount secret ${JSON.stringify(mount.id)}: secret ${mount.id}: not found`,
      {
        hint: `give it with --secret id=${mount.id},src=FILE or --secret id=${mount.id},env=NAME`,
      },
    );
  }
  if (data !== undefined && data.byteLength > MAX_SECRET_BYTES) {
    throw new BuildError(
      "secret/unreadable",
      `Cannot mount secret ${JSON.stringify(mount.id)}: it has ${data.byteLength} bytes, and 500 KiB are the most`,
    );
  }
  return data;
}

async function findAgent(mount: Of<"ssh">, ssh: SshSource, signal: AbortSignal): Promise<string | undefined> {
  const socket = await ssh.socket(mount.id, signal);
  if (socket === undefined && mount.required) {
    throw new BuildError(
      "secret/not-found",
      `Cannot mount an ssh agent: no SSH key ${JSON.stringify(mount.id)} forwarded from the client`,
      {
        hint: mount.id === "default" ? "give it with --ssh default" : `give it with --ssh ${mount.id}=SOCKET_OR_KEY`,
      },
    );
  }
  return socket;
}

/**
 * Path of a bind mount's copied files in their temporary tree. Never the root, because a single file may be mounted.
 */
export const COPIED = "/mounted";

/** The copy of a mount's files out of their input. */
export function copyOf(source: string, destination: string): FileOp {
  const action = plainCopy({ input: 0, source: source.replace(/^\/+/, "") || ".", destination });
  return { kind: "file", base: "scratch", actions: [action] };
}
