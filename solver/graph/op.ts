import type { Digest } from "../../lib/core/digest.ts";
import type { Platform } from "../../lib/core/platform.ts";

/**
 * The work of a vertex, as plain data: the frontend writes it, the solver picks an executor by `kind`. Every member is
 * part of the vertex digest. Data that must not be (secret values, proxy settings, host addresses, memory limits)
 * travels beside the graph in the solver's options.
 */
export type Op = ImageOp | LocalOp | GitOp | HttpOp | ExecOp | FileOp | MergeOp | DiffOp;

/** The layers of an image. No inputs. */
export type ImageOp = {
  readonly kind: "image";
  /** Normalised name, used only to fetch an image missing from the store; not part of the cache key. */
  readonly ref: string;
  /** Digest of the platform's own manifest, never of an index. */
  readonly manifest: Digest;
  readonly platform: Platform;
};

/** A directory of the client: the build context or a named one. No inputs. The op that uses it selects files. */
export type LocalOp = {
  readonly kind: "local";
  /** `context`, or the name of a `--build-context`. */
  readonly name: string;
  /** Patterns of the ignore file, in order. */
  readonly excludes: readonly string[];
  /** Absent for the client's files, which become 0:0. Files of an archive keep its owners. */
  readonly owners?: "kept" | undefined;
  /**
   * The time of all files, in seconds since 1970, for a build that must not depend on how the directory came about:
   * modes are then 0644, or 0755 for directories and what the owner may execute, and hard links are files of their own.
   * The time is part of the keys, since it is in the result. Absent: times and modes are those of the files.
   */
  readonly uniformTime?: number | undefined;
};

/** A checkout of a git repository. No inputs. */
export type GitOp = {
  readonly kind: "git";
  /** URL without credentials. */
  readonly remote: string;
  /** Branch, tag, full ref or commit; `undefined` is the remote's HEAD. */
  readonly ref: string | undefined;
  readonly subdir: string | undefined;
  readonly keepGitDir: boolean;
  readonly submodules: boolean;
  /** A commit, full or abbreviated, that the checkout must match. */
  readonly checksum: string | undefined;
  readonly mtime: "checkout" | "commit";
  /** True to fetch the commit `checksum`, a full id, without resolving `ref`. */
  readonly fetchByCommit?: true | undefined;
};

/** One file fetched over HTTP(S). No inputs. */
export type HttpOp = {
  readonly kind: "http";
  readonly url: string;
  readonly filename: string;
  readonly checksum: Digest | undefined;
  /** Permission bits; BuildKit's default is 0600. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  /** The file's time, in seconds since 1970. Absent: what the server says, or 0. */
  readonly modified?: number | undefined;
};

/** Runs a command on input 0 as the root file system (none when `scratchRoot`). */
export type ExecOp = {
  readonly kind: "exec";
  readonly argv: readonly string[];
  readonly env: VariableGroups;
  readonly cwd: string;
  /** User as in the USER instruction: name or number, optionally `:group`. Empty is root. */
  readonly user: string;
  readonly hostname: string | undefined;
  readonly network: "default" | "none" | "host";
  readonly security: "sandbox" | "insecure";
  /** True when the stage is empty (`FROM scratch`): then there is no root input, and mounts count inputs from 0. */
  readonly scratchRoot: boolean;
  /** Sorted by target so that parents mount first. */
  readonly mounts: readonly ExecMount[];
  readonly shmSizeBytes: number | undefined;
  readonly ulimits: readonly { readonly name: string; readonly soft: number; readonly hard: number }[];
  /** Names of `--add-host` entries; their addresses travel beside the graph. */
  readonly extraHosts: readonly string[];
  readonly cgroupParent: string | undefined;
  readonly platform: Platform;
};

/**
 * `NAME=value` texts, in order, in groups of {@link GROUP_SIZE}; the last may be shorter. Commands share equal groups
 * as one array, so facts about a group are computed once for all of them.
 */
export type VariableGroups = readonly (readonly string[])[];

/** Size of a group. Keys of results depend on it: another size means other keys. */
export const GROUP_SIZE = 32;

export type ExecMount =
  | {
      readonly type: "bind";
      readonly target: string;
      /** Index into the vertex's inputs. */
      readonly input: number;
      /** Path inside the input; `/` is all of it. */
      readonly source: string;
      /** `rw` writes are discarded after the command. */
      readonly mode: "ro" | "rw";
    }
  | {
      readonly type: "cache";
      readonly target: string;
      readonly id: string;
      readonly sharing: "shared" | "private" | "locked";
      /** Initial content of a new cache directory. */
      readonly seed: { readonly input: number; readonly source: string } | undefined;
      readonly mode: "ro" | "rw";
      readonly permissions: number;
      readonly uid: number;
      readonly gid: number;
    }
  /** A directory in memory. In mode `ro` it stays empty. */
  | {
      readonly type: "tmpfs";
      readonly target: string;
      readonly sizeBytes: number | undefined;
      readonly mode?: "ro" | undefined;
    }
  | {
      readonly type: "secret";
      readonly id: string;
      /** `undefined` when the secret is only an environment variable. */
      readonly target: string | undefined;
      readonly env: string | undefined;
      readonly required: boolean;
      readonly permissions: number;
      readonly uid: number;
      readonly gid: number;
    }
  | {
      readonly type: "ssh";
      readonly id: string;
      readonly target: string;
      readonly required: boolean;
      readonly permissions: number;
      readonly uid: number;
      readonly gid: number;
    };

/** Changes files without running anything: COPY, ADD, WORKDIR, heredoc files. */
export type FileOp = {
  readonly kind: "file";
  /** `input`: input 0 is the tree that is changed. `scratch`: starts empty, and inputs are sources only. */
  readonly base: "input" | "scratch";
  /** Actions, applied in order into one layer. */
  readonly actions: readonly FileAction[];
  /**
   * The tree below the layer, for `--link`. The parent directories of `path` are made as they are in that tree; nothing
   * else of it counts.
   */
  readonly way?: { readonly input: number; readonly path: string } | undefined;
};

/** `user` and `group` are names or numbers as written; names are looked up in the destination's passwd and group. */
export type Owner = { readonly user: string; readonly group: string | undefined };

export type FileAction = CopyAction | MkdirAction | MkfileAction | RmAction;

export type CopyAction = {
  readonly kind: "copy";
  /** Index of the source among the vertex's inputs. */
  readonly input: number;
  /** Relative to the input's root, cleaned, `..` clamped; may hold Go filepath.Match wildcards when `wildcard`. */
  readonly source: string;
  readonly wildcard: boolean;
  /** Absolute and cleaned. A trailing slash is kept: it means a directory. */
  readonly destination: string;
  readonly owner: Owner | undefined;
  /** `octal`: exact bits for everything copied and created. `symbolic`: as in chmod(1), applied to each file's mode. */
  readonly mode:
    | { readonly kind: "octal"; readonly bits: number }
    | { readonly kind: "symbolic"; readonly text: string }
    | undefined;
  /** Ignore-file patterns relative to each source root. */
  readonly excludes: readonly string[];
  /** `--parents`: keep the source's directories below the destination; the text up to `/./` is dropped. */
  readonly parents: boolean;
  /** Unpacking of archives by ADD: `auto` unpacks those that it recognises by content, `never` none, `always` must. */
  readonly unpack: "auto" | "never" | "always";
  /** Files from the client become 0:0; files from another stage keep their owner. */
  readonly keepOwner: boolean;
  /** Destination symlinks are followed inside the root, except under `--link`. */
  readonly link: boolean;
};

export type MkdirAction = {
  readonly kind: "mkdir";
  /** Absolute path. Parents are made too; an existing directory stays as it is. */
  readonly path: string;
  readonly mode: number;
  readonly owner: Owner | undefined;
  readonly timestamp: number | undefined;
};

export type MkfileAction = {
  readonly kind: "mkfile";
  readonly path: string;
  readonly mode: number;
  readonly text: string;
  readonly owner: Owner | undefined;
  readonly timestamp: number | undefined;
};

export type RmAction = { readonly kind: "rm"; readonly path: string; readonly missing: "error" | "ignore" };

/** The inputs' layers stacked, first input lowest. */
export type MergeOp = { readonly kind: "merge" };

/** The part of input 1 on top of input 0. */
export type DiffOp = { readonly kind: "diff" };
