import { createHash } from "node:crypto";
import { mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { errnoOf } from "../../lib/core/errors.ts";
import { parseJson } from "../../lib/core/json.ts";
import { type AttemptContext, tryStep } from "./attempt.ts";
import { type Cause, causesOf } from "./causes.ts";
import { type Limits, readLimits } from "./limits.ts";
import type { Refusal, Rung } from "./rung.ts";
import { isSandboxPart, type SandboxPart } from "./sandbox-parts.ts";

export interface LadderContext extends AttemptContext {
  /** `pretended`: only one user is real. */
  readonly ids: "real" | "pretended";
  /** True when the capabilities of this process allow mounts. */
  readonly maySysAdmin: boolean;
  /** Anything that tells this process's rights from those of others that use the store: the answer is kept under it. */
  readonly identity: string;
}

/** The result of the attempts. */
export interface Climb {
  readonly rung: Rung;
  readonly causes: readonly Cause[];
  /** False where a try failed for a reason that says nothing of the machine, such as a full disk. */
  readonly isCertain: boolean;
}

/**
 * A search for the best isolation of steps by attempts, best first. The answer is kept in the store for this start of
 * the machine, this container and its limits. An overlay that cannot be mounted is tried again, because an
 * administrator may have fixed it.
 */
export class Ladder {
  readonly #context: LadderContext;
  #found: Promise<Rung> | undefined;

  constructor(context: LadderContext) {
    this.#context = context;
  }

  /** The kind that was found last with these rights, in whatever circumstances. One small read. */
  lastKind(): Rung["kind"] | undefined {
    return this.#read()?.rung.kind;
  }

  find(signal: AbortSignal): Promise<Rung> {
    if (this.#found === undefined) {
      const found = this.#find(signal);
      this.#found = found;
      // A search that was cancelled says nothing to the next one.
      found.catch(() => (this.#found = undefined));
    }
    return this.#found;
  }

  async #find(signal: AbortSignal): Promise<Rung> {
    const { directory } = this.#context;
    mkdirSync(directory, { recursive: true });
    const limits = readLimits(directory);
    const known = this.#read();
    if (known?.limits === limits.text) return known.rung;
    const { rung, isCertain } = await climb(this.#context, limits, signal);
    if (isCertain && !(rung.kind === "namespaces" && !rung.overlay)) this.#write({ limits: limits.text, rung });
    return rung;
  }

  get #path(): string {
    const name = createHash("sha256").update(this.#context.identity).digest("hex").slice(0, 16);
    return join(this.#context.directory, `rung-${name}.json`);
  }

  #read(): Answer | undefined {
    try {
      return parseAnswer(readFileSync(this.#path, "utf8"));
    } catch (error) {
      if (errnoOf(error) === undefined) throw error;
      return undefined;
    }
  }

  /** A store that cannot be written to has other errors to tell. */
  #write(answer: Answer): void {
    const draft = `${this.#path}.${this.#context.instance}`;
    try {
      writeFileSync(draft, JSON.stringify(answer));
      renameSync(draft, this.#path);
    } catch (error) {
      if (errnoOf(error) === undefined) throw error;
    }
  }
}

/** Tries every rung from the top. */
export async function climb(context: LadderContext, limits: Limits, signal: AbortSignal): Promise<Climb> {
  const refusals: Refusal[] = [];
  const circumstances = { limits, maySysAdmin: context.maySysAdmin };
  const ids = context.ids === "pretended" ? { ids: context.ids } : {};
  for (const root of ["overlay", "directory"] as const) {
    const without: SandboxPart[] = [];
    const onRefusal = (refusal: Refusal, parts: readonly SandboxPart[]): void => {
      without.push(...parts);
      refusals.push(refusal);
    };
    const how = { ...ids, ...(root === "overlay" ? { root } : {}), onRefusal };
    // The second only where the first fails.
    // oxlint-disable-next-line no-await-in-loop
    const { message, refused } = await tryStep(context, how, signal);
    const rung: Rung = { kind: "namespaces", without, overlay: root === "overlay" };
    if (message === undefined) return { rung, causes: causesOf(refusals, circumstances), isCertain: true };
    if (refused === undefined) {
      const causes = causesOf([...refusals, { part: "command", message }], circumstances);
      return { rung: { ...rung, overlay: true }, causes, isCertain: false };
    }
    refusals.push({ part: refused, message });
    if (refused !== "overlay") break;
  }
  const { message } = await tryStep(context, { chroot: { native: context.native } }, signal);
  const isCommands = message?.includes("exec: ") === true;
  if (message !== undefined) refusals.push({ part: isCommands ? "command" : "chroot", message });
  const causes = causesOf(refusals, circumstances);
  const reasons = causes.map(({ cause }) => cause);
  return { rung: message === undefined ? { kind: "chroot" } : { kind: "none", reasons }, causes, isCertain: true };
}

/** The stored result of a climb. */
interface Answer {
  readonly limits: string;
  readonly rung: Rung;
}

/** `undefined` for a file of another version, which is written anew. */
function parseAnswer(text: string): Answer | undefined {
  const value = parseJson(text);
  if (typeof value !== "object" || value === null || !("limits" in value) || !("rung" in value)) return undefined;
  const { limits, rung } = value;
  if (typeof limits !== "string" || typeof rung !== "object" || rung === null || !("kind" in rung)) return undefined;
  const texts = (list: unknown): string[] => (Array.isArray(list) ? list.filter((one) => typeof one === "string") : []);
  if (rung.kind === "chroot") return { limits, rung: { kind: "chroot" } };
  if (rung.kind === "none" && "reasons" in rung)
    return { limits, rung: { kind: "none", reasons: texts(rung.reasons) } };
  if (rung.kind === "namespaces" && "without" in rung) {
    return { limits, rung: { kind: "namespaces", without: texts(rung.without).filter(isSandboxPart), overlay: true } };
  }
  return undefined;
}
