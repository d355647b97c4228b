export interface FileChange {
  readonly path: string;
  /** The kinds of change: `mode 0664 -> 0644` and the like. */
  readonly what: readonly string[];
}

/** Finds files that differ between two listings. Their lines are those of `listFiles` in solver/select. */
export function changedFiles(before: string | undefined, after: string | undefined): FileChange[] {
  if (before === undefined || after === undefined) return [];
  const from = commonLines(before, after);
  const [oldRest, nowRest] = [before.slice(from), after.slice(from)];
  const until = commonLastLines(oldRest, nowRest);
  const old = parseListing(oldRest.slice(0, oldRest.length - until));
  const now = parseListing(nowRest.slice(0, nowRest.length - until));
  const changes: FileChange[] = [];
  for (const [path, fields] of now) {
    const was = old.get(path);
    if (was === undefined) changes.push({ path, what: ["added"] });
    else if (was.join("\t") !== fields.join("\t")) changes.push({ path, what: fieldChanges(was, fields) });
  }
  for (const path of old.keys()) if (!now.has(path)) changes.push({ path, what: ["removed"] });
  return changes;
}

/**
 * Measures the whole lines that both texts begin with. Bisection compares bytes; comparing line by line would allocate
 * objects.
 */
function commonLines(left: string, right: string): number {
  const same = longest(
    Math.min(left.length, right.length),
    (length) => left.slice(0, length) === right.slice(0, length),
  );
  return left.lastIndexOf("\n", same - 1) + 1;
}

/** Measures the whole lines that both texts end with. */
function commonLastLines(left: string, right: string): number {
  const same = longest(Math.min(left.length, right.length), (length) => {
    return left.slice(left.length - length) === right.slice(right.length - length);
  });
  const at = left.indexOf("\n", left.length - same);
  return at === -1 ? 0 : left.length - at - 1;
}

/** Finds the largest number up to `most` for which a monotonic condition holds. */
function longest(most: number, holds: (length: number) => boolean): number {
  let [least, limit] = [0, most];
  while (least < limit) {
    const middle = Math.ceil((least + limit) / 2);
    if (holds(middle)) least = middle;
    else limit = middle - 1;
  }
  return least;
}

function parseListing(text: string): Map<string, readonly string[]> {
  const entries = new Map<string, readonly string[]>();
  for (const line of text.split("\n")) {
    if (line === "") continue;
    const [path = "", ...fields] = line.split("\t");
    entries.set(path, fields);
  }
  return entries;
}

function fieldChanges(was: readonly string[], now: readonly string[]): string[] {
  const [oldTime, ...before] = [was.at(-1)?.startsWith("@") === true ? was.at(-1) : "", ...withoutTime(was)];
  const [time, ...after] = [now.at(-1)?.startsWith("@") === true ? now.at(-1) : "", ...withoutTime(now)];
  const [oldType, oldMode, oldUid, oldGid, oldSize, ...oldRest] = before;
  const [type, mode, uid, gid, size, ...rest] = after;
  if (oldType !== type) return [`${typeName(oldType)} -> ${typeName(type)}`];
  const what: string[] = [];
  if (oldSize !== size || oldRest.join("\t") !== rest.join("\t")) what.push(type === "l" ? "target" : "content");
  if (oldMode !== mode) what.push(`mode ${oldMode} -> ${mode}`);
  if (oldUid !== uid || oldGid !== gid) what.push(`owner ${oldUid}:${oldGid} -> ${uid}:${gid}`);
  if (oldTime !== time) what.push("time");
  return what;
}

/** The time is the last column, where there is one. */
function withoutTime(fields: readonly string[]): readonly string[] {
  return fields.at(-1)?.startsWith("@") === true ? fields.slice(0, -1) : fields;
}

function typeName(letter: string | undefined): string {
  const names: Readonly<Record<string, string>> = { f: "file", d: "directory", l: "symlink", p: "fifo" };
  return names[letter ?? ""] ?? "device";
}
