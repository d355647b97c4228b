import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { setTimeout as wait } from "node:timers/promises";
import { errnoOf } from "../../lib/core/errors.ts";
import { familiarReference, parseReference } from "../../lib/core/reference.ts";
import type { BuildNews } from "../watch/watch.ts";
import type { CommandContext } from "./context.ts";

/** Time in which a command may end by itself after SIGTERM, in milliseconds. */
const GRACE_MS = 2000;

/** The command of `--exec`: one at a time, with its children; the next build ends one that still runs. */
export class CommandRunner implements AsyncDisposable {
  readonly #text: string;
  readonly #context: CommandContext;
  #child: ChildProcess | undefined;

  constructor(text: string, context: CommandContext) {
    this.#text = text;
    this.#context = context;
  }

  async start(news: BuildNews & { readonly kind: "built" }): Promise<void> {
    await this.#end();
    const { host } = this.#context;
    const { imageId, manifest, names } = news.result;
    const id = imageId ?? manifest?.digest ?? "";
    const [name] = names;
    const child = spawn("/bin/sh", ["-c", this.#text], {
      cwd: host.workingDirectory,
      // A group of its own, so that its children end with it.
      detached: true,
      stdio: ["ignore", "inherit", "inherit"],
      env: {
        ...host.env,
        KILN_IMAGE_ID: id,
        KILN_IMAGE: name === undefined ? id : familiarReference(parseReference(name)),
        KILN_CHANGED: (news.changes?.paths ?? []).join("\n"),
      },
    });
    child.on("error", (error) => this.#context.warn(`kiln: cannot run the command: ${error.message}`));
    child.on("exit", (code) => {
      if (code !== null && code !== 0) this.#context.warn(`kiln: the command ended with status ${code}`);
    });
    this.#child = child;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#end();
  }

  async #end(): Promise<void> {
    const child = this.#child;
    this.#child = undefined;
    if (child?.pid === undefined) return;
    if (child.exitCode === null && child.signalCode === null) {
      const ended = once(child, "exit");
      signalGroup(child.pid, "SIGTERM");
      const grace = new AbortController();
      await Promise.race([ended, wait(GRACE_MS, undefined, { signal: grace.signal }).catch(() => undefined)]);
      grace.abort();
    }
    // What it left behind in its group.
    signalGroup(child.pid, "SIGKILL");
  }
}

function signalGroup(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(-pid, signal);
  } catch (error) {
    if (errnoOf(error) !== "ESRCH") throw error;
  }
}
