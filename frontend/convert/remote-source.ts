import { percentDecoded } from "../../lib/core/percent.ts";
import { isDigest } from "../../lib/core/digest.ts";
import { BuildError } from "../../lib/core/errors.ts";
import { type GitUrl, isCommit, parseGitUrl } from "../../lib/core/git-url.ts";
import type { Span } from "../../lib/core/span.ts";
import type { GitOp, HttpOp } from "../../solver/graph/op.ts";
import type { AddInstruction, CopyInstruction } from "../instructions/instruction.ts";

/** A source of ADD outside the context. */
export interface RemoteSource {
  readonly op: GitOp | HttpOp;
  /** Path inside the fetched tree. */
  readonly source: string;
}

/**
 * Reads a URL; `undefined` for a path. `checksum` is `""` without --checksum.
 * @throws {BuildError} `dockerfile/copy` for a URL in COPY, `source/git` for a URL that contradicts itself or its flags
 */
export function readRemote(
  text: string,
  span: Span,
  instruction: CopyInstruction | AddInstruction,
  checksum: string,
): RemoteSource | undefined {
  const git = readGit(text, span);
  const isHttp = git === undefined && /^https?:\/\//.test(text);
  if (git === undefined && !isHttp) return undefined;
  if (instruction.kind === "copy") {
    const what = isHttp ? "a URL" : "a git ref";
    throw new BuildError("dockerfile/copy", `Cannot copy ${JSON.stringify(text)}: source can't be ${what} for COPY`, {
      span,
      hint: "ADD takes it",
    });
  }
  if (git !== undefined) return { op: gitOp(git, instruction, checksum, span), source: "." };
  if (!URL.canParse(text)) {
    throw new BuildError("dockerfile/copy", `Cannot add ${JSON.stringify(text)}: it is no URL`, { span });
  }
  const filename = filenameOf(text);
  return { op: httpOp(text, filename, checksum, instruction.checksum?.span ?? span), source: filename };
}

function readGit(text: string, span: Span): GitUrl | undefined {
  try {
    return parseGitUrl(text);
  } catch (error) {
    if (!(error instanceof BuildError)) throw error;
    throw error.at(span);
  }
}

function gitOp(url: GitUrl, instruction: AddInstruction, checksum: string, span: Span): GitOp {
  const bad = (why: string): BuildError =>
    new BuildError("source/git", `Cannot add ${JSON.stringify(url.remote)}: ${why}`, { span });
  if (
    instruction.keepGitDir !== undefined &&
    url.keepGitDir !== undefined &&
    instruction.keepGitDir !== url.keepGitDir
  ) {
    throw bad("inconsistent keep-git-dir configuration");
  }
  if (checksum !== "" && url.checksum !== undefined && checksum !== url.checksum) {
    throw bad(`checksum mismatch ${JSON.stringify(checksum)} != ${JSON.stringify(url.checksum)}`);
  }
  const wanted = url.checksum ?? (checksum || undefined);
  if (wanted !== undefined && !/^[0-9a-f]{1,64}$/i.test(wanted)) {
    throw bad(`invalid checksum ${wanted} for Git URL, expected hex commit hash`);
  }
  return {
    kind: "git",
    remote: url.remote,
    ref: url.ref ?? (wanted !== undefined && isCommit(wanted) ? wanted : undefined),
    subdir: url.subdir,
    keepGitDir: url.keepGitDir ?? instruction.keepGitDir ?? false,
    submodules: url.submodules ?? true,
    checksum: wanted,
    // A build context can ask for commit times; ADD ignores that part of the URL.
    mtime: "checkout",
    ...(url.fetchByCommit ? { fetchByCommit: true } : {}),
  };
}

function httpOp(url: string, filename: string, checksum: string, span: Span): HttpOp {
  if (checksum !== "" && !isDigest(checksum)) {
    throw new BuildError("dockerfile/copy", `Cannot check ${JSON.stringify(checksum)}: it is not a sha256 digest`, {
      span,
      hint: "write --checksum=sha256: and 64 hex digits",
    });
  }
  return {
    kind: "http",
    url,
    filename,
    checksum: isDigest(checksum) ? checksum : undefined,
    mode: 0o600,
    uid: 0,
    gid: 0,
  };
}

function filenameOf(url: string): string {
  const last = new URL(url).pathname.split("/").findLast((name) => name !== "");
  if (last === undefined) return "__unnamed__";
  return percentDecoded(last).replaceAll("/", "_");
}
