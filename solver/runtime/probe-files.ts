import { mkdtempSync, rmSync } from "node:fs";
import { join } from "node:path";
import { messageOf } from "../../lib/core/errors.ts";
import { O_DIRECTORY, O_PATH, S_IFCHR, S_IFMT } from "../../lib/native/constants.ts";
import type { Native } from "../../lib/native/native.ts";

/** The result of one check. `fix` is a command, package or line of configuration, when one is known. */
export interface ProbeResult {
  readonly name: string;
  readonly ok: boolean;
  /** The observation, in a few words. */
  readonly detail: string;
  readonly fix: string | undefined;
}

export interface FilesContext {
  readonly native: Native;
  /** Host directory on the disk that builds use. */
  readonly directory: string;
  /** `given`: new files get their owners; `written down`: the owners are recorded. */
  readonly owners: "given" | "written down";
}

/** Does what COPY and the unpacking of layers do, in a folder on the store's disk. */
export function probeFiles(context: FilesContext): ProbeResult[] {
  const { owners } = context;
  return [
    attempt(context, {
      name: "COPY with owners",
      works: owners === "given" ? "files belong to whom the layer says" : "owners are written down beside the files",
      fix: "a disk that keeps owners or user.* attributes: ext4, XFS, btrfs, tmpfs (Linux 6.6)",
      work: giveFiles,
    }),
    attempt(context, {
      name: "unpack",
      works: "directories and files that nobody may write to, set-uid bits",
      fix: "a local disk for the store (--root), on Linux 5.8 or later",
      work: makeLayer,
    }),
    attempt(context, {
      name: "devices in layers",
      works: owners === "given" ? "device nodes are made" : "device nodes are written down",
      fix: "layers with device nodes need root of the machine, or a store that was begun with a single id",
      work: makeDevice,
    }),
  ];
}

interface FilesAttempt {
  readonly name: string;
  readonly works: string;
  readonly fix: string;
  /** Works in an empty directory; returns what went wrong. */
  readonly work: (native: Native, fd: number) => string | undefined;
}

function attempt({ native, directory }: FilesContext, { name, works, fix, work }: FilesAttempt): ProbeResult {
  const folder = mkdtempSync(join(directory, "probe-"));
  const fd = native.openPath(folder, O_PATH | O_DIRECTORY);
  try {
    const wrong = work(native, fd);
    return { name, ok: wrong === undefined, detail: wrong ?? works, fix: wrong === undefined ? undefined : fix };
  } catch (error) {
    return { name, ok: false, detail: messageOf(error), fix };
  } finally {
    native.removeTreeSync(fd, "d");
    native.close(fd);
    rmSync(folder, { recursive: true, force: true });
  }
}

function giveFiles(native: Native, fd: number): string | undefined {
  native.mkdirat(fd, "d", 0o755);
  native.fchownat(fd, "d", 12, 34);
  native.symlinkat("nowhere", fd, "l");
  native.fchownat(fd, "l", 56, 78);
  const [directory, link] = [native.statat(fd, "d"), native.statat(fd, "l")];
  const seen = `${directory.uid}:${directory.gid} ${link.uid}:${link.gid}`;
  return seen === "12:34 56:78" ? undefined : `owners 12:34 56:78 came back as ${seen}`;
}

/** Members are made after their directory has its mode, as in a tar. */
function makeLayer(native: Native, fd: number): string | undefined {
  native.mkdirat(fd, "d", 0o755);
  native.fchmodat(fd, "d", 0o4555);
  const inner = native.openat2(fd, "d", { flags: O_PATH | O_DIRECTORY });
  try {
    native.mkdirat(inner, "e", 0o700);
    native.mkdirat(inner, "f", 0o000);
  } finally {
    native.close(inner);
  }
  const mode = native.statat(fd, "d").mode & 0o7777;
  return mode === 0o4555 ? undefined : `a mode of 4555 came back as ${mode.toString(8)}`;
}

function makeDevice(native: Native, fd: number): string | undefined {
  native.mknodat(fd, "n", S_IFCHR | 0o600, { major: 1, minor: 3 });
  return (native.statat(fd, "n").mode & S_IFMT) === S_IFCHR ? undefined : "a device came back as a file";
}
