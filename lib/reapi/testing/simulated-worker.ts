import { setTimeout as sleep } from "node:timers/promises";
import { digestOf } from "../../core/digest.ts";
import { ActionResult, Directory, OutputFile } from "../protocol.ts";
import type { Job, StandInWorker } from "./stand-in-worker.ts";

/** Properties of simulated machines. */
export interface Simulated {
  /** The time that the step with this document takes on a worker. */
  readonly stepMs: (document: string) => number;
  /** The time that a worker needs beside the step: to take it over, and to have the files there. */
  readonly overheadMs?: number;
}

const BLOCK = 512;

/** Pretends to run steps of kiln: it waits for their time, and their layer holds one file, named by the action. */
export class SimulatedWorker implements StandInWorker {
  readonly #simulated: Simulated;

  constructor(simulated: Simulated) {
    this.#simulated = simulated;
  }

  async run({ hash, root, needed, keep }: Job, onStarted: (kill: () => void) => void): Promise<ActionResult> {
    const stop = new AbortController();
    onStarted(() => stop.abort());
    const { stepMs, overheadMs = 0 } = this.#simulated;
    const wallMs = stepMs(stepIn(needed(root), needed));
    await sleep(wallMs + overheadMs, undefined, { signal: stop.signal }).catch(() => undefined);
    const tar = tarOf(hash);
    const diffId = digestOf(tar);
    const result = {
      version: 1,
      exitCode: 0,
      oomKilled: false,
      wallMs,
      cpuMs: 0,
      layer: { diffId, sizeBytes: tar.length, contentDigest: digestOf(Buffer.from(hash)), runs: "" },
      notices: [],
    };
    const outputFiles = [
      OutputFile.of({ path: "out/layer.tar", digest: keep(tar) }),
      OutputFile.of({ path: "out/result.json", digest: keep(Buffer.from(JSON.stringify(result))) }),
    ];
    return ActionResult.of({ exitCode: 0, outputFiles });
  }

  [Symbol.dispose](): void {}
}

/** Returns the text of the step's document. */
function stepIn(root: Buffer, needed: Job["needed"]): string {
  const file = Directory.decode(root).files.find(({ name }) => name === "step.json");
  return needed(file?.digest).toString();
}

/** Makes a tar with one empty file. */
function tarOf(name: string): Buffer {
  const header = Buffer.alloc(BLOCK);
  header.write(name, 0);
  const fields = ["0000644\0", "0000000\0", "0000000\0", "00000000000\0", "14000000000\0", "        ", "0"];
  header.write(fields.join(""), 100);
  header.write("ustar\u000000", 257);
  const sum = header.reduce((total, byte) => total + byte, 0);
  header.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148);
  return Buffer.concat([header, Buffer.alloc(2 * BLOCK)]);
}
