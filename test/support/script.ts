import { type ChildProcess, spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { join } from "node:path";

/** A real process that runs a piece of TypeScript and communicates in lines. */
export interface Script extends AsyncDisposable {
  readonly child: ChildProcess;
  /**
   * Returns the next line it prints.
   * @throws when the process ends without one
   */
  line(): Promise<string>;
  send(line: string): void;
  kill(): void;
  /** Waits for the end; returns the exit status, or `undefined` after a signal. */
  ended(): Promise<number | undefined>;
}

/**
 * Starts a process on `source`, which may await at top level and import from absolute paths without `import.meta`:
 * `ROOT` in it is replaced by the path of the repository.
 */
export function startScript(source: string): Script {
  const code = source.replaceAll("ROOT/", `${join(import.meta.dirname, "../..")}/`);
  const child = spawn(process.execPath, ["--no-warnings", "--input-type=module-typescript", "-e", code], {
    stdio: ["pipe", "pipe", "inherit"],
  });
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const ended = new Promise<number | undefined>((resolve) => {
    child.once("close", (status) => resolve(status ?? undefined));
  });
  child.stdin.on("error", () => undefined); // the process may have been killed
  return {
    child,
    async line() {
      const next = await lines.next();
      if (next.done === true) throw new Error("The script ended without another line");
      return next.value;
    },
    send: (line) => void child.stdin.write(`${line}\n`),
    kill: () => void child.kill("SIGKILL"),
    ended: () => ended,
    async [Symbol.asyncDispose]() {
      child.kill("SIGKILL");
      await ended;
    },
  };
}
