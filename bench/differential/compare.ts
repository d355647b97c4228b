import { isRecord } from "../../lib/core/json.ts";

/** Lists the lines that only one side has. */
export function differences(what: string, mine: readonly string[], theirs: readonly string[]): string[] {
  const [left, right] = [counted(mine), counted(theirs)];
  return [
    ...left.filter((line) => !right.includes(line)).map((line) => `  ${what} only kiln:     ${line.trim()}`),
    ...right.filter((line) => !left.includes(line)).map((line) => `  ${what} only buildkit: ${line.trim()}`),
  ];
}

/** Numbers equal lines, so that the second of two counts as another line. */
function counted(lines: readonly string[]): string[] {
  const seen = new Map<string, number>();
  return lines.map((line) => {
    const count = (seen.get(line) ?? 0) + 1;
    seen.set(line, count);
    return count === 1 ? line : `${line} (${count})`;
  });
}

const BEYOND_OCI = ["container_config", "docker_version", "parent", "container"];

/**
 * Prints a configuration without values that differ from build to build with every builder, such as layer digests and
 * dates. Their number and places must agree.
 */
export function configLines(config: unknown): string[] {
  return jsonLines(config, (key, value) => {
    // Docker's own store drops fields of the base image's configuration beyond the specification. BuildKit keeps them.
    if (BEYOND_OCI.includes(key)) return undefined;
    if (key === "comment" && value !== "buildkit.dockerfile.v0") return undefined;
    // Newer versions of BuildKit print the fields with Go's `%+v`, as kiln does; older ones with `%q`, unreadably.
    if (key === "created_by" && String(value).startsWith("HEALTHCHECK ")) return "HEALTHCHECK";
    if (key === "created") return isRecent(String(value).slice(0, 4)) ? "<recent>" : (value ?? undefined);
    if (key === "history") return Array.isArray(value) && value.length > 0 ? value : undefined;
    // A list without members is null in one builder and [] in the other.
    if (key === "diff_ids") return Array.isArray(value) ? value.length : 0;
    return value;
  });
}

/**
 * Prints files without new dates: a file made during the build carries the build's own date, so only older dates are
 * compared. kiln dates the mount points that a first RUN leaves behind in 1970, so that its layers are the same every
 * time.
 */
export function fileLines(listing: readonly string[]): string[] {
  return listing
    .map((line) =>
      line.replace(/ (\d{4})-\d\d-\d\d \d\d:\d\d:\d\d(\.\d+)? /, (whole, year: string) =>
        isRecent(year) || /^d.* (dev|proc|sys)\/$/.test(line) ? " <recent> " : whole,
      ),
    )
    .toSorted();
}

function isRecent(year: string): boolean {
  return Number(year) >= new Date().getFullYear();
}

/** Prints the answer to `--call`, one line per warning, argument or target. */
export function callLines(answer: string): string[] {
  let value: unknown;
  try {
    value = JSON.parse(answer);
  } catch {
    return answer.split("\n");
  }
  const plain = plainJson(value, (key, member) => {
    // BuildKit reports a variable once per word, kiln once per instruction.
    if (key === "warnings" && Array.isArray(member)) return withoutRepetition(member);
    // The request in which the Dockerfile was sent to the engine; kiln has no counterpart.
    if (key === "definition") return undefined;
    // Each builder words long explanations in its own way; rule, message and place are compared.
    if (key === "description" || key === "url") return undefined;
    // kiln names the Dockerfile as the user gave it; BuildKit names it as the client sent it.
    if (key === "filename") return undefined;
    // kiln lists the cache mounts too.
    if (key === "cache") return undefined;
    // "Did you mean" after a name of one character would be a guess: any other such name is equally near.
    if (key === "detail") return String(member).replace(/('\$.') \(did you mean .*/, "$1");
    // The message of an error that a build would end with: our texts are meant to be better.
    if (key === "buildError" && typeof member === "object") return "<error>";
    return member;
  });
  if (!isRecord(plain)) return [JSON.stringify(plain)];
  return Object.entries(plain).flatMap(([name, member]) =>
    (Array.isArray(member) ? member : [member]).map((item) => `${name}: ${JSON.stringify(item)}`),
  );
}

function withoutRepetition(list: readonly unknown[]): unknown[] {
  const texts = new Set(list.map((item) => JSON.stringify(item)));
  return [...texts].map((text) => JSON.parse(text) as unknown);
}

/** Prints pretty JSON with sorted members. */
function jsonLines(value: unknown, replace: (key: string, value: unknown) => unknown): string[] {
  return JSON.stringify(plainJson(value, replace), undefined, 1).split("\n");
}

function plainJson(value: unknown, replace: (key: string, value: unknown) => unknown): unknown {
  return JSON.parse(JSON.stringify(value, (key, member: unknown) => sorted(replace(key, member))));
}

function sorted(value: unknown): unknown {
  if (value === null || typeof value !== "object" || Array.isArray(value)) return value;
  return Object.fromEntries(Object.entries(value).toSorted(([left], [right]) => (left < right ? -1 : 1)));
}
