import { type ChildProcess, spawn } from "node:child_process";
import type { Socket } from "node:net";
import { controlOf } from "./control.ts";
import { FrameReader } from "./frames.ts";

/** The outcome of a step, in the runtime's own words. */
export type StepReport =
  | { readonly kind: "end"; readonly text: string }
  /** `refused`: the part of the sandbox that failed, where it is one that a machine may refuse. */
  | { readonly kind: "failure"; readonly text: string; readonly refused?: string | undefined }
  | { readonly kind: "unstartable"; readonly cause: Error };

type OnOutput = (stream: "stdout" | "stderr", chunk: Uint8Array) => void;

/**
 * Processes of kiln-runtime that take one plan after another. There are as many as steps have run at one time: forking
 * this large process for each step would cost more than the step. Idle ones do not keep the program running, and end
 * with it, or when this is disposed.
 */
export class Workers implements Disposable {
  readonly #runtimePath: string;
  readonly #all = new Set<Worker>();

  constructor(runtimePath: string) {
    this.#runtimePath = runtimePath;
  }

  /**
   * Resolves when nothing of the step runs or is mounted any more.
   * @throws the signal's reason, when everything inside has been killed.
   */
  async run(plan: Uint8Array, onOutput: OnOutput, signal: AbortSignal): Promise<StepReport> {
    let worker = [...this.#all].find((one) => one.isFree);
    if (worker === undefined) {
      const started = new Worker(this.#runtimePath, () => void this.#all.delete(started));
      this.#all.add(started);
      worker = started;
    }
    return worker.run(plan, onOutput, signal);
  }

  [Symbol.dispose](): void {
    for (const worker of this.#all) worker.close();
    this.#all.clear();
  }
}

/** A step as its worker tells of it. Its last word (`z`) may come after the next step has begun. */
interface Running {
  readonly onOutput: OnOutput;
  failure: string | undefined;
  refused: string | undefined;
  /** Called once, or again without effect. */
  settle(report: StepReport): void;
  /** Nothing of it is left; a report must have come before. */
  gone(): void;
}

class Worker {
  readonly #child: ChildProcess;
  readonly #control: Socket;
  readonly #frames = new FrameReader();
  /** Oldest first: reports are always of the first one. */
  readonly #steps: Running[] = [];
  #isBusy = false;
  #isDead = false;

  constructor(runtimePath: string, onDeath: () => void) {
    this.#child = spawn(runtimePath, ["serve"], {
      // A directory that cannot be inside a build, and no environment: a command's comes with its plan.
      cwd: "/",
      env: {},
      stdio: ["ignore", "ignore", "ignore", "pipe"],
    });
    this.#control = controlOf(this.#child);
    const die = (report: StepReport): void => {
      this.#isDead = true;
      onDeath();
      for (const step of this.#steps.splice(0)) {
        step.settle(report);
        step.gone();
      }
    };
    this.#control.on("data", (chunk: Buffer) => this.#take(chunk));
    // It may die before it has read a plan (EPIPE); its exit then tells the story.
    this.#control.on("error", () => undefined);
    this.#child.once("error", (cause) => die({ kind: "unstartable", cause }));
    this.#child.once("close", (code, killedBy) => {
      const [step] = this.#steps;
      const text = step?.failure ?? `the runtime ended without a report (${killedBy ?? `status ${code}`})`;
      die({ kind: "failure", text, refused: step?.refused });
    });
  }

  get isFree(): boolean {
    return !this.#isBusy && !this.#isDead;
  }

  close(): void {
    this.#isDead = true;
    this.#control.destroy();
  }

  run(plan: Uint8Array, onOutput: OnOutput, signal: AbortSignal): Promise<StepReport> {
    this.#isBusy = true;
    this.#child.ref();
    this.#control.ref();
    return new Promise<StepReport>((resolve, reject) => {
      // The order to kill: the supervisor then kills PID 1, and with it all of its namespace, and says so.
      const abort = (): void => void this.#control.write("k");
      let report: StepReport | undefined;
      const finish = (settled: () => void): void => {
        signal.removeEventListener("abort", abort);
        this.#isBusy = false;
        this.#child.unref();
        this.#control.unref();
        settled();
      };
      const step: Running = {
        onOutput,
        failure: undefined,
        refused: undefined,
        settle: (told) => {
          if (report !== undefined) return;
          report = told;
          // An end is the supervisor's last act, after everything inside is dead and unmounted: no need to wait for more.
          if (told.kind === "end" && !signal.aborted) finish(() => resolve(told));
        },
        gone: () => {
          if (report?.kind === "end" && !signal.aborted) return;
          const told = report ?? { kind: "failure", text: "the runtime ended a step without a report" };
          finish(() => (signal.aborted ? reject(signal.reason) : resolve(told)));
        },
      };
      this.#steps.push(step);
      signal.addEventListener("abort", abort, { once: true });
      this.#control.write(plan);
    });
  }

  #take(chunk: Buffer): void {
    for (const { kind, data } of this.#frames.push(chunk)) {
      const [step] = this.#steps;
      if (step === undefined) throw new Error("kiln-runtime reported a step that was not requested");
      if (kind === "o" || kind === "e") step.onOutput(kind === "o" ? "stdout" : "stderr", data);
      else if (kind === "x") step.failure ??= data.toString();
      else if (kind === "r" && step.failure === undefined) step.refused = data.toString("latin1");
      else if (kind === "q" && step.failure === undefined) step.settle({ kind: "end", text: data.toString("latin1") });
      else if (kind === "z") {
        this.#steps.shift();
        const text = step.failure ?? `the runtime ended without a report (${data.toString()})`;
        step.settle({ kind: "failure", text, refused: step.refused });
        step.gone();
      }
    }
  }
}
