import { spawn } from "node:child_process";
import { existsSync, linkSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { ActionResult, type BlobDigest, type Command, Directory, OutputFile } from "../protocol.ts";

/** An action whose blobs are all there. */
export interface Job {
  /** Hash of the action. */
  readonly hash: string;
  readonly command: Command;
  readonly root: BlobDigest | undefined;
  readonly needed: (digest: BlobDigest | undefined) => Buffer;
  /** Puts a blob into the storage. */
  readonly keep: (data: Buffer) => BlobDigest;
}

/** A runner of actions for a {@link StandIn}. */
export interface StandInWorker extends Disposable {
  run(job: Job, onStarted: (kill: () => void) => void): Promise<ActionResult>;
}

/** Asks for all blobs of a tree of folders. */
export function checkTree(root: BlobDigest | undefined, needed: (digest: BlobDigest | undefined) => Buffer): void {
  const { files, directories } = Directory.decode(needed(root));
  for (const { digest } of files) needed(digest);
  for (const { digest } of directories) checkTree(digest, needed);
}

const LINKED_BYTES = 1 << 20;

/** Runs actions as processes of this machine. */
export class ProcessWorker implements StandInWorker {
  readonly #env: Readonly<Record<string, string>>;
  /** Large files of actions, which are linked into their folders. */
  readonly #files = mkdtempSync(join(tmpdir(), "kiln-stand-in-"));

  constructor(env: Readonly<Record<string, string>>) {
    this.#env = env;
  }

  async run(job: Job, onStarted: (kill: () => void) => void): Promise<ActionResult> {
    const folder = mkdtempSync(join(tmpdir(), "kiln-action-"));
    try {
      this.#stage(job.root, folder, job);
      for (const path of job.command.outputPaths) mkdirSync(dirname(join(folder, path)), { recursive: true });
      return await this.#spawn(folder, job, onStarted);
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  }

  [Symbol.dispose](): void {
    rmSync(this.#files, { recursive: true, force: true });
  }

  async #spawn(folder: string, { command, keep }: Job, onStarted: (kill: () => void) => void): Promise<ActionResult> {
    const [program = "", ...words] = command.arguments;
    const env = { PATH: process.env["PATH"], ...this.#env };
    const child = spawn(program, words, { cwd: folder, env, stdio: ["ignore", "pipe", "pipe"] });
    onStarted(() => child.kill("SIGKILL"));
    const output: Record<"stdout" | "stderr", Buffer[]> = { stdout: [], stderr: [] };
    for (const stream of ["stdout", "stderr"] as const)
      child[stream].on("data", (chunk: Buffer) => output[stream].push(chunk));
    const exitCode = await new Promise<number>((resolve, reject) => {
      child.once("error", reject);
      child.once("close", (code) => resolve(code ?? 137));
    });
    const outputFiles = command.outputPaths.flatMap((path) => {
      if (!existsSync(join(folder, path))) return [];
      return [OutputFile.of({ path, digest: keep(readFileSync(join(folder, path))) })];
    });
    return ActionResult.of({
      exitCode,
      outputFiles,
      stdoutDigest: keep(Buffer.concat(output.stdout)),
      stderrRaw: Buffer.concat(output.stderr),
    });
  }

  #stage(root: BlobDigest | undefined, folder: string, { needed }: Pick<Job, "needed">): void {
    const { files, directories } = Directory.decode(needed(root));
    for (const { name, digest, isExecutable } of files) {
      const mode = isExecutable ? 0o755 : 0o644;
      const data = needed(digest);
      if (data.length < LINKED_BYTES) {
        writeFileSync(join(folder, name), data, { mode });
        continue;
      }
      const own = join(this.#files, `${digest?.hash}-${mode}`);
      if (!existsSync(own)) writeFileSync(own, data, { mode });
      linkSync(own, join(folder, name));
    }
    for (const { name, digest } of directories) {
      mkdirSync(join(folder, name));
      this.#stage(digest, join(folder, name), { needed });
    }
  }
}
