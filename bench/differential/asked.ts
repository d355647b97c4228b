import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { isRecord } from "../../lib/core/json.ts";
import type { Builder } from "./builders.ts";
import { run } from "./builders.ts";
import type { Case } from "./cases.ts";

/** The methods of `--call`. */
export const METHODS = ["check", "outline", "targets"] as const;
export type Method = (typeof METHODS)[number];

/** The answers to one case, by method. Missing where the builder refuses the file. */
export type Calls = Partial<Record<Method, unknown>>;

/** A case on disk: the path of its Dockerfile, and the folder that all cases share. */
export interface Placed {
  readonly case: Case;
  /** `cases/12/Dockerfile` below the folder of the run. */
  readonly dockerfile: string;
}

/** Writes Dockerfiles (and ignore files beside them) below `work`. */
export function placed(cases: readonly Case[], work: string): Placed[] {
  return cases.map((one, index) => {
    const folder = join(work, "cases", String(index));
    mkdirSync(folder, { recursive: true });
    writeFileSync(join(folder, "Dockerfile"), one.dockerfile);
    if (one.ignore.length > 0) writeFileSync(join(folder, "Dockerfile.dockerignore"), `${one.ignore.join("\n")}\n`);
    return { case: one, dockerfile: `cases/${index}/Dockerfile` };
  });
}

/** The flags of `build` and `docker buildx build` for the case, run in the folder of the run. */
export function flagsOf({ case: one, dockerfile }: Placed): string[] {
  return [
    ...one.args.flatMap((arg) => ["--build-arg", arg]),
    ...one.contexts.flatMap((context) => ["--build-context", context]),
    ...(one.target === undefined ? [] : ["--target", one.target]),
    ...(one.platform === undefined ? [] : ["--platform", one.platform]),
    "-f",
    dockerfile,
    "context",
  ];
}

/** Runs kiln's calls, one process each. A file that a check refuses gets no further calls. */
export async function kilnCalls(kiln: Builder, work: string, one: Placed): Promise<Calls> {
  const ask = async (method: Method): Promise<Calls> => {
    const { stdout } = await kiln.call(work, method, flagsOf(one));
    return stdout.trim() === "" ? {} : { [method]: JSON.parse(stdout) as unknown };
  };
  const checked = await ask("check");
  if (isRefused(checked.check)) return checked;
  return Object.assign(checked, await ask("outline"), await ask("targets"));
}

/**
 * Runs BuildKit's calls for many cases: one `docker buildx bake` answers all of them. A check answers for every file,
 * with the error of a bad one in it. An outline answers only when all files are good, so bad ones are left out.
 */
export async function bakeCalls(docker: string, work: string, all: readonly Placed[]): Promise<Calls[]> {
  const calls = all.map((): Calls => ({}));
  for (const method of METHODS) {
    const asked = [...all.keys()].filter((index) => !isRefused(calls[index]?.check));
    for (const [index, answer] of await bake(asked, (indexes) => bakeOnce(docker, work, method, all, indexes))) {
      const mine = calls[index];
      if (mine !== undefined) mine[method] = answer;
    }
  }
  return calls;
}

function isRefused(check: unknown): boolean {
  return isRecord(check) && check["buildError"] !== undefined;
}

type Answers = ReadonlyMap<number, unknown>;

/**
 * Bakes cases together. One case can fail the whole run: it is dropped if the message names it, or else found by
 * halving.
 */
async function bake(
  indexes: readonly number[],
  once: (indexes: readonly number[]) => Promise<Answers | { readonly failed: number | undefined }>,
): Promise<Answers> {
  if (indexes.length === 0) return new Map();
  const answer = await once(indexes);
  if (!("failed" in answer)) return answer;
  if (indexes.length === 1) return new Map();
  const { failed } = answer;
  if (failed !== undefined)
    return bake(
      indexes.filter((index) => index !== failed),
      once,
    );
  const middle = indexes.length >> 1;
  return new Map([...(await bake(indexes.slice(0, middle), once)), ...(await bake(indexes.slice(middle), once))]);
}

async function bakeOnce(
  docker: string,
  work: string,
  method: Method,
  all: readonly Placed[],
  indexes: readonly number[],
): Promise<Answers | { readonly failed: number | undefined }> {
  const target: Record<string, unknown> = {};
  for (const index of indexes) {
    const one = all[index];
    if (one !== undefined) target[`case${index}`] = bakeTarget(one);
  }
  const file = { target, group: { default: { targets: Object.keys(target) } } };
  writeFileSync(join(work, "bake.json"), JSON.stringify(file));
  const words = [docker, "buildx", "bake", "-f", "bake.json", "--allow=fs.read=*", "--call", `${method},format=json`];
  const answer = await run(words, work);
  const text = answer.stdout.trim();
  if (text === "") {
    const last = answer.output.split("\n").findLast((line) => line.startsWith("ERROR")) ?? "";
    const failed = /target case(\d+): |\[case(\d+)[ \]]/.exec(last);
    return { failed: failed === null ? undefined : Number(failed[1] ?? failed[2]) };
  }
  const { target: answers } = JSON.parse(text) as { target: Record<string, Record<string, unknown>> };
  return new Map(Object.entries(answers).map(([name, value]) => [Number(name.slice(4)), withoutText(value[method])]));
}

/** Removes the printed error that bake adds; `buildError` holds the same. */
function withoutText(answer: unknown): unknown {
  if (!isRecord(answer)) return answer;
  return Object.fromEntries(Object.entries(answer).filter(([key]) => key !== "error"));
}

/** Makes a target for bake; `$` begins an expression in bake's files. */
function bakeTarget({ case: one, dockerfile }: Placed): Record<string, unknown> {
  const literal = (text: string): string => text.replaceAll("${", "$${").replaceAll("%{", "%%{");
  const pairs = (list: readonly string[]): Record<string, string | null> =>
    Object.fromEntries(
      list.map((pair) => {
        const at = pair.indexOf("=");
        return at === -1 ? [pair, null] : [pair.slice(0, at), literal(pair.slice(at + 1))];
      }),
    );
  return {
    context: "context",
    dockerfile: `../${dockerfile}`,
    args: pairs(one.args),
    // `build` does this by itself.
    contexts: pairs(one.contexts.map((context) => context.replace(/:latest=/, "="))),
    ...(one.target === undefined ? {} : { target: one.target }),
    ...(one.platform === undefined ? {} : { platforms: [one.platform] }),
  };
}
