/* Real repositories and real servers for them, for the tests of this folder only. */
import { execFileSync, spawn, spawnSync } from "node:child_process";
import { createReadStream, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { symlinkSync, writeFileSync } from "node:fs";
import { type IncomingMessage, type ServerResponse, createServer } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { GitOp } from "../../graph/op.ts";
import type { RemoteSource } from "../../ports.ts";
import { createGitSource } from "./git-source.ts";
import type { GitProgram } from "./run-git.ts";

const GUARD = process.env["KILN_TEST_RUNTIME"] ?? join(import.meta.dirname, "../../../build/kiln-runtime");
export const PATH = process.env["PATH"] ?? "/usr/bin:/bin";
export const never = new AbortController().signal;
export const missing = spawnSync("git", ["--version"]).status === 0 ? undefined : "needs git";

/** A repository with a branch, a lightweight and an annotated tag, a folder, and a symlink that leads out. */
export class Repository implements Disposable {
  readonly directory = mkdtempSync(join(tmpdir(), "kiln-git-"));
  readonly remote = join(this.directory, "remote");
  readonly scratch = join(this.directory, "scratch");
  readonly program: GitProgram = { env: { PATH }, protocols: ["file", "http"], guardPath: GUARD };
  readonly first: string;
  readonly second: string;

  constructor(format: "sha1" | "sha256" = "sha1") {
    mkdirSync(this.remote);
    mkdirSync(this.scratch);
    this.git("init", "-q", "-b", "main", `--object-format=${format}`);
    writeFileSync(join(this.remote, "file"), "one");
    mkdirSync(join(this.remote, "sub"));
    writeFileSync(join(this.remote, "sub/inner"), "inner");
    symlinkSync("/etc", join(this.remote, "out"));
    this.first = this.commit("first");
    this.git("tag", "light");
    this.git("tag", "-a", "-m", "x", "annotated");
    writeFileSync(join(this.remote, "file"), "two");
    this.second = this.commit("second");
  }

  git(...args: string[]): string {
    const env = {
      PATH,
      GIT_CONFIG_GLOBAL: "/dev/null",
      GIT_AUTHOR_DATE: "@1500000000 +0000",
      GIT_COMMITTER_DATE: "@1500000000 +0000",
    };
    const config = ["-c", "user.name=a", "-c", "user.email=a@b", "-c", "protocol.file.allow=always"];
    return execFileSync("git", [...config, ...args], { cwd: this.remote, env, encoding: "utf8" }).trim();
  }

  commit(message: string): string {
    this.git("add", "-A");
    this.git("commit", "-q", "-m", message);
    return this.git("rev-parse", "HEAD");
  }

  source(over: Partial<GitProgram> = {}, secrets: Readonly<Record<string, string>> = {}): RemoteSource<GitOp> {
    return createGitSource({
      program: { ...this.program, ...over },
      scratchDirectory: this.scratch,
      secrets: { get: async (id) => (secrets[id] === undefined ? undefined : Buffer.from(secrets[id])) },
      ssh: { socket: async () => undefined },
    });
  }

  op(over: Partial<GitOp> = {}): GitOp {
    return {
      kind: "git",
      remote: this.remote,
      ref: undefined,
      subdir: undefined,
      keepGitDir: false,
      submodules: true,
      checksum: undefined,
      mtime: "checkout",
      ...over,
    };
  }

  async checkOut(
    over: Partial<GitOp> = {},
    program: Partial<GitProgram> = {},
    secrets: Readonly<Record<string, string>> = {},
  ): Promise<string> {
    const found = await this.source(program, secrets).find(this.op(over), never);
    const directory = mkdtempSync(join(this.directory, "out-"));
    await found.writeTo(directory, never);
    return directory;
  }

  [Symbol.dispose](): void {
    rmSync(this.directory, { recursive: true, force: true });
  }
}

/** A loopback server of a folder's repositories. */
export interface GitServer extends AsyncDisposable {
  /** `http://127.0.0.1:1234` */
  readonly url: string;
}

/**
 * Serves a folder by HTTP: `smart` through `git http-backend`, `dumb` as plain files, which `git update-server-info`
 * must have prepared, `silent` by accepting requests and never answering. Every request must have the header
 * `authorization`; `seen` records their headers.
 */
export async function serveGit(
  folder: string,
  how: "smart" | "dumb" | "silent",
  more: { readonly authorization?: string; readonly seen?: (string | undefined)[] } = {},
): Promise<GitServer> {
  const server = createServer((request, response) => {
    const { authorization } = request.headers;
    more.seen?.push(authorization);
    if (more.authorization !== undefined && authorization !== more.authorization) response.writeHead(401).end();
    else if (how === "smart") runBackend(folder, request, response);
    else if (how === "dumb") sendFile(folder, request, response);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("no port to listen on");
  return {
    url: `http://127.0.0.1:${address.port}`,
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

function sendFile(folder: string, request: IncomingMessage, response: ServerResponse): void {
  const path = join(folder, new URL(request.url ?? "/", "http://localhost").pathname);
  const isFile = statSync(path, { throwIfNoEntry: false })?.isFile() === true;
  if (isFile) createReadStream(path).pipe(response);
  else response.writeHead(404).end();
}

/** Answers one request through CGI. */
function runBackend(folder: string, request: IncomingMessage, response: ServerResponse): void {
  const url = new URL(request.url ?? "/", "http://localhost");
  const child = spawn("git", ["-c", "uploadpack.allowFilter=true", "http-backend"], {
    stdio: ["pipe", "pipe", "ignore"],
    env: {
      PATH,
      GIT_PROJECT_ROOT: folder,
      GIT_HTTP_EXPORT_ALL: "1",
      GIT_PROTOCOL: String(request.headers["git-protocol"] ?? ""),
      REQUEST_METHOD: request.method ?? "GET",
      QUERY_STRING: url.search.slice(1),
      PATH_INFO: url.pathname,
      CONTENT_TYPE: request.headers["content-type"] ?? "",
      HTTP_CONTENT_ENCODING: request.headers["content-encoding"] ?? "",
    },
  });
  request.pipe(child.stdin);
  child.stdin.on("error", () => {});
  const chunks: Buffer[] = [];
  child.stdout.on("data", (chunk: Buffer) => chunks.push(chunk));
  child.on("close", () => {
    const answer = Buffer.concat(chunks);
    const end = answer.indexOf("\r\n\r\n");
    const headers = answer.subarray(0, Math.max(end, 0)).toString("latin1").split("\r\n");
    const fields = headers.map((line): [string, string] => [
      line.slice(0, line.indexOf(":")),
      line.slice(line.indexOf(":") + 2),
    ]);
    const status = fields.find(([name]) => name === "Status")?.[1];
    response.writeHead(status === undefined ? 200 : Number.parseInt(status, 10), Object.fromEntries(fields));
    response.end(answer.subarray(end + 4));
  });
}

/** Counts the processes with this word on their command line. */
export function processesWith(word: string): number {
  return readdirSync("/proc").filter((name) => {
    if (!/^\d+$/.test(name)) return false;
    try {
      return readFileSync(`/proc/${name}/cmdline`, "latin1").split("\0").includes(word);
    } catch {
      return false; // the process has ended meanwhile
    }
  }).length;
}
