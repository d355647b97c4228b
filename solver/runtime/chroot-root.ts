import { mkdirSync } from "node:fs";
import { dirname, join, posix } from "node:path";
import { BuildError, errnoOf, messageOf, unreachable } from "../../lib/core/errors.ts";
import {
  AT_FDCWD,
  AT_REMOVEDIR,
  O_CREAT,
  O_DIRECTORY,
  O_PATH,
  RESOLVE_IN_ROOT,
  S_IFDIR,
  S_IFMT,
} from "../../lib/native/constants.ts";
import type { Native } from "../../lib/native/native.ts";
import type { RunMount, RunRequest } from "../ports.ts";
import { writeBorrowed } from "../../lib/tree/borrowed.ts";
import { stampAfter } from "../../lib/tree/kernel-clock.ts";
import { copyMerged } from "../../lib/tree/copy-tree.ts";
import { isDirectory, linkText, MAX_LINKS, relativeTo } from "./chroot-paths.ts";
import type { HostFacts } from "./host.ts";
import { hostsFile } from "./hosts.ts";
import { resolvConf } from "./resolv-conf.ts";
import { STAND_INS, StandIns } from "./stand-ins.ts";

export interface ChrootContext {
  readonly native: Native;
  readonly marks: "trusted" | "user";
  readonly facts: HostFacts;
}

/** A step's tree, with what other steps see by mounts put into it. Disposing takes all of it out again. */
export interface FurnishedRoot extends AsyncDisposable {
  readonly path: string;
  /** Targets of read-only mounts that the command has written to: they are copies, which nothing protects from root. */
  writtenCopies(): readonly string[];
}

/**
 * Makes the tree of a step ready for chroot, where nothing can be mounted:
 *
 * - /dev, /proc and /sys are directories with what programs look for
 * - resolv.conf, hosts and secrets are files
 * - a cache directory is moved in, and back afterwards: another step that wants it waits
 * - what a bind mount shows is copied; a tmpfs is a directory
 *
 * What is in the way is put aside meanwhile. The tree is a whole copy, as the native snapshotter makes it: `root.path`'s
 * parent directory belongs to the step.
 */
export async function furnishRoot(
  request: RunRequest,
  context: ChrootContext,
  signal: AbortSignal,
): Promise<FurnishedRoot> {
  const { root } = request;
  if (root.kind !== "directory") throw new Error("A step without mounts needs its tree in one directory");
  const furniture = new Furniture(root.path, context);
  try {
    furniture.addSystemFiles();
    furniture.addFile("/etc/resolv.conf", Buffer.from(resolvConf(context.facts.resolver, "host")), 0o644);
    furniture.addFile("/etc/hosts", Buffer.from(hostsFile(request.hostname, request.extraHosts)), 0o644);
    for (const mount of request.mounts) await furniture.addMount(mount, signal);
    furniture.makeWorkingDirectory(request.cwd, request.user);
    await furniture.settle();
    return furniture;
  } catch (error) {
    await furniture[Symbol.asyncDispose]();
    if (errnoOf(error) === undefined) throw error;
    throw new BuildError("runtime/failed", `Cannot make the step's tree ready: ${messageOf(error)}`, { cause: error });
  }
}

class Furniture implements FurnishedRoot {
  readonly path: string;
  readonly #native: Native;
  readonly #context: ChrootContext;
  readonly #fd: number;
  readonly #aside: string;
  readonly #borrowed = new Set<string>();
  /** Copies that stand for what may only be read. */
  readonly #copies: (Placed & { readonly target: string })[] = [];
  #settledNs = 0n;
  /** Directories in which something was put, by path. */
  readonly #changed = new Map<string, ChangedDirectory>();
  /** Functions that undo the additions, in the order of the additions. */
  readonly #undo: (() => void)[] = [];

  constructor(path: string, context: ChrootContext) {
    this.path = path;
    this.#native = context.native;
    this.#context = context;
    this.#aside = join(dirname(path), "aside");
    // Left by an earlier step in the same tree.
    this.#native.removeTreeSync(AT_FDCWD, this.#aside);
    mkdirSync(this.#aside, { recursive: true, mode: 0o700 });
    this.#fd = this.#native.openPath(path, O_PATH | O_DIRECTORY);
  }

  /** Puts what stands for /dev, /proc and /sys in place. */
  addSystemFiles(): void {
    const standIns = new StandIns(this.#native, dirname(this.path));
    for (const standIn of STAND_INS) {
      this.#place(
        standIn.target,
        (parent, name) => standIns.putIn({ parent, name }, standIn),
        (parent, name) => standIns.takeOut({ parent, name }, standIn, this.#settledNs),
      );
    }
  }

  addFile(target: string, data: Uint8Array, mode: number, owner = { uid: 0, gid: 0 }): void {
    this.#place(target, (parent, name) => {
      const [result = 0] = this.#native.writeFilesSync(parent, {
        names: [name],
        data: Buffer.from(data),
        resolve: 0,
        offsets: Float64Array.of(0),
        sizes: Float64Array.of(data.length),
        modes: Uint32Array.of(mode),
        uids: Uint32Array.of(owner.uid),
        gids: Uint32Array.of(owner.gid),
        mtimesNs: BigInt64Array.of(0n),
      });
      if (result < 0) throw new BuildError("runtime/failed", `Cannot write ${target} for the step: error ${-result}`);
    });
  }

  async addMount(mount: RunMount, signal: AbortSignal): Promise<void> {
    switch (mount.kind) {
      case "secret":
        this.addFile(mount.target, mount.data, mount.permissions, mount);
        return;
      case "tmpfs":
        this.#placeTemporary(mount.target);
        return;
      case "socket":
        this.#place(mount.target, (parent, name) => this.#native.linkat(AT_FDCWD, mount.hostPath, parent, name));
        return;
      case "bind":
        if (mount.mode === "rw") await this.#moveIn(mount.hostPath, mount.target, signal);
        else this.#protect(mount, await this.#copyIn([mount.hostPath], "/", mount.target, signal));
        return;
      case "tree":
        this.#protect(mount, await this.#copyIn(directoriesOf(mount.tree), mount.source, mount.target, signal));
        return;
      default:
        unreachable(mount);
    }
  }

  /** A missing working directory is the command's own: it stays, and belongs to its user. */
  makeWorkingDirectory(cwd: string, owner: { readonly uid: number; readonly gid: number }): void {
    this.#makeParents(posix.join(this.#followed(posix.join("/", cwd)), "x"), (fd, name) =>
      this.#native.fchownat(fd, name, owner.uid, owner.gid),
    );
  }

  /** Notes how directories are once all is in place, so that what the command changes in them is seen. */
  async settle(): Promise<void> {
    let latestNs = 0n;
    for (const [path, directory] of this.#changed) {
      const { ctimeNs } = this.#native.statat(directory.fd, "");
      this.#changed.set(path, { ...directory, ctimeNs });
      if (ctimeNs > latestNs) latestNs = ctimeNs;
    }
    this.#settledNs = await stampAfter(dirname(this.path), latestNs);
  }

  /** Has a copy that may only be read looked at when the command has ended. */
  #protect({ target, mode }: { readonly target: string; readonly mode: "ro" | "rw" }, placed: Placed): void {
    if (mode === "ro") this.#copies.push({ ...placed, target });
  }

  writtenCopies(): readonly string[] {
    const native = this.#native;
    return this.#copies.flatMap(({ target, parent, name }) => {
      const status = native.tryStatat(parent, name);
      if (status === undefined) return [target];
      const isTree = (status.mode & S_IFMT) === S_IFDIR;
      const times = isTree ? native.scanTreeSync(parent, { path: name }).columns.ctimeNs : [status.ctimeNs];
      return times.some((ctimeNs) => ctimeNs >= this.#settledNs) ? [target] : [];
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const native = this.#native;
    const untouched = new Set<string>();
    const times = [...this.#changed].map(([path, { fd, isOwn, mtimeNs, ctimeNs }]) => {
      const now = native.statat(fd, "");
      const isUntouched = !isOwn && (ctimeNs === undefined || now.ctimeNs === ctimeNs);
      if (isUntouched) untouched.add(path);
      return { fd, mtimeNs: isUntouched ? mtimeNs : now.mtimeNs };
    });
    writeBorrowed(dirname(this.path), { paths: this.#borrowed, directories: untouched });
    for (const undo of this.#undo.toReversed()) undo();
    this.#undo.length = 0;
    for (const { fd, mtimeNs } of times) {
      native.utimensat(fd, "", mtimeNs);
      native.close(fd);
    }
    this.#changed.clear();
    native.close(this.#fd);
    await Promise.resolve();
  }

  /** A tmpfs that has the mode of the directory it covers. */
  #placeTemporary(target: string): void {
    const covered = this.#native.tryStatat(this.#fd, this.#followed(posix.join("/", target)).slice(1));
    const mode = covered === undefined ? 0o1777 : covered.mode & 0o7777;
    this.#place(target, (parent, name) => {
      this.#native.mkdirat(parent, name, 0o700);
      this.#native.fchmodat(parent, name, mode);
    });
  }

  /** Renames a directory of the store into the tree. Its lock is held until it is back. */
  async #moveIn(hostPath: string, target: string, signal: AbortSignal): Promise<void> {
    const native = this.#native;
    const lock = native.openPath(`${hostPath}.lock`, O_CREAT | 2, 0o600);
    this.#undo.push(() => native.close(lock));
    await native.lock(lock, "exclusive");
    signal.throwIfAborted();
    // A kiln that was killed took it along.
    mkdirSync(hostPath, { recursive: true });
    this.#place(
      target,
      (parent, name) => native.renameat(AT_FDCWD, hostPath, parent, name),
      (parent, name) => native.renameat(parent, name, AT_FDCWD, hostPath),
    );
  }

  /** A copy of what is at `source` in the tree of the directories, topmost first. */
  async #copyIn(directories: readonly string[], source: string, target: string, signal: AbortSignal): Promise<Placed> {
    const [only] = directories;
    const native = this.#native;
    const isFile = directories.length === 1 && only !== undefined && source === "/" && !isDirectory(native, only);
    const whole = join(this.#aside, `copy-${this.#undo.length}`);
    mkdirSync(whole);
    if (isFile) {
      const from = native.openPath(dirname(only), O_PATH | O_DIRECTORY);
      const to = native.openPath(whole, O_PATH | O_DIRECTORY);
      const files = { ...metadataOf(native, only), from: [posix.basename(only)], to: ["file"] };
      const [result = 0] = await native.copyFiles(from, to, files);
      native.close(from);
      native.close(to);
      if (result < 0) throw new BuildError("runtime/failed", `Cannot copy ${only} for the step: error ${-result}`);
    } else await copyMerged(native, { directories, marks: this.#context.marks, to: whole }, signal);
    const fd = native.openPath(whole, O_PATH | O_DIRECTORY);
    // The source may be a link, and is looked up as the step would: inside.
    const found = isFile ? "file" : (relativeTo(native, fd, source, whole) ?? "");
    native.close(fd);
    return this.#place(target, (parent, name) => {
      if (found !== "") native.renameat(AT_FDCWD, join(whole, found), parent, name);
      else native.renameat(AT_FDCWD, whole, parent, name);
    });
  }

  /**
   * Makes something at a path of the tree, which is not trusted: the directory it goes into is opened inside the root. What is
   * there already is put aside. `unmake` is how to take it out, by default removing it.
   */
  #place(
    target: string,
    make: (parent: number, name: string) => void,
    unmake?: (parent: number, name: string) => void,
  ): Placed {
    const native = this.#native;
    const path = this.#followed(posix.join("/", target));
    this.#makeParents(path, undefined);
    const parent = this.#changing(posix.dirname(path));
    const name = posix.basename(path);
    if (native.tryStatat(parent, name) !== undefined) {
      const aside = join(this.#aside, `${this.#undo.length}`);
      native.renameat(parent, name, AT_FDCWD, aside);
      this.#borrowed.add(path.slice(1));
      this.#undo.push(() => native.renameat(AT_FDCWD, aside, parent, name));
    }
    make(parent, name);
    this.#undo.push(() => (unmake === undefined ? native.removeTreeSync(parent, name) : unmake(parent, name)));
    return { parent, name };
  }

  /**
   * Resolves a path inside the root, in the form without links. A missing file resolves to the place where it would be
   * made: a dangling link is followed as well.
   */
  #followed(path: string): string {
    const native = this.#native;
    let found = "";
    let links = 0;
    const rest = path.split("/").filter(Boolean);
    for (let name = rest.shift(); name !== undefined; name = rest.shift()) {
      const next = posix.join("/", found, name).slice(1);
      const there = relativeTo(native, this.#fd, next, this.path);
      if (there !== undefined) {
        found = there;
        continue;
      }
      const text = linkText(native, this.#fd, next);
      if (text === undefined) {
        found = next;
        continue;
      }
      if (++links > MAX_LINKS) throw new BuildError("runtime/failed", `Cannot follow the link /${next} in the image`);
      rest.unshift(...text.split("/").filter(Boolean));
      if (text.startsWith("/")) found = "";
    }
    return `/${found}`;
  }

  /** Makes the directories above a path. With `made` they are the command's own and stay. */
  #makeParents(path: string, made: ((parent: number, name: string) => void) | undefined): void {
    const native = this.#native;
    let prefix = "/";
    for (const name of posix.dirname(path).split("/").filter(Boolean)) {
      const next = posix.join(prefix, name);
      if (native.tryStatat(this.#fd, next.slice(1)) === undefined) {
        const parent = this.#changing(prefix);
        native.mkdirat(parent, name, 0o755);
        if (made === undefined) this.#undo.push(() => this.#removeEmpty(parent, name));
        else {
          made(parent, name);
          this.#changed.set(prefix.slice(1), { fd: parent, isOwn: true, mtimeNs: 0n, ctimeNs: undefined });
        }
      }
      prefix = next;
    }
  }

  /** A descriptor of a directory that is about to be changed, open until all is taken out again. */
  #changing(path: string): number {
    const known = this.#changed.get(path.slice(1));
    if (known !== undefined) return known.fd;
    const native = this.#native;
    const fd = native.openat2(this.#fd, path, { flags: O_PATH | O_DIRECTORY, resolve: RESOLVE_IN_ROOT });
    const { mtimeNs } = native.statat(fd, "");
    this.#changed.set(path.slice(1), { fd, isOwn: false, mtimeNs, ctimeNs: undefined });
    return fd;
  }

  /** Removes a directory that was made for a mount, unless the command wrote into it. */
  #removeEmpty(parent: number, name: string): void {
    try {
      this.#native.unlinkat(parent, name, AT_REMOVEDIR);
    } catch (error) {
      const code = errnoOf(error);
      if (code !== "ENOTEMPTY" && code !== "ENOENT") throw error;
    }
  }
}

/** The place of something that was put into the tree: the directory's descriptor, and the name. */
interface Placed {
  readonly parent: number;
  readonly name: string;
}

/** A directory of the tree in which something was put. */
interface ChangedDirectory {
  readonly fd: number;
  /** True for the command's working directory, which stays. */
  readonly isOwn: boolean;
  /** Time before the addition. */
  readonly mtimeNs: bigint;
  /** Change time once all was in place; `undefined` until then. */
  readonly ctimeNs: bigint | undefined;
}

function directoriesOf(tree: Extract<RunMount, { kind: "tree" }>["tree"]): readonly string[] {
  switch (tree.kind) {
    case "directory":
      return [tree.path];
    case "overlay":
      return [tree.upper, ...tree.lowers];
    case "overlay-ro":
      return tree.lowers;
    default:
      return unreachable(tree);
  }
}

function metadataOf(
  native: Native,
  path: string,
): {
  readonly modes: Uint32Array;
  readonly uids: Uint32Array;
  readonly gids: Uint32Array;
  readonly mtimesNs: BigInt64Array;
} {
  const { mode, uid, gid, mtimeNs } = native.statat(AT_FDCWD, path);
  return {
    modes: Uint32Array.of(mode & 0o7777),
    uids: Uint32Array.of(uid),
    gids: Uint32Array.of(gid),
    mtimesNs: BigInt64Array.of(mtimeNs),
  };
}
