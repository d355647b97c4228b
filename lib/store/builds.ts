import { appendFileSync, closeSync, openSync, readFileSync, readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { errnoOf } from "../core/errors.ts";
import { isRecord, parseJson } from "../core/json.ts";
import { textOf } from "./columns.ts";
import type { Database } from "./database.ts";
import type { LockCalls } from "./file-lock.ts";
import type { Holds } from "./holds.ts";
import type { Builds, UnfinishedBuild } from "./store.ts";

const KIND = "build";
/** Number of reports that stay however old they are. */
const KEPT_BUILDS = 50;
/** Time that further ones stay. */
const KEPT_MS = 48 * 3600 * 1000;
/** Limit of all. */
const MAX_BUILDS = 1000;
/** Limit of logs that only a report names, in bytes; those of the newest builds stay. */
const MAX_LOG_BYTES = 256 << 20;

/** Beginning of a line in a process's file under `running/`; the rest is JSON. Holds have other words. */
const BEGUN = "begun ";

/** Beginning of a line that takes such a note back. */
const FORGOTTEN = "forgotten ";

/** The order of writing, whatever the clock said. */
const NEWEST_FIRST = "ORDER BY rowid DESC";

interface BuildsParts {
  readonly database: Database;
  readonly holds: Holds;
  readonly calls: LockCalls;
  /** The folder `running/`. */
  readonly running: string;
  readonly nowMs: () => number;
}

/** Opens the reports of builds. They are facts: small, and losing them does no harm. */
export function openBuilds({ database, holds, calls, running, nowMs }: BuildsParts): Builds {
  return {
    begin(report) {
      try {
        holds.note(`${BEGUN}${report}`);
      } catch {
        // A full disk: the build itself will say so.
      }
    },
    add(id, report) {
      try {
        database.transaction(() => {
          database.run(
            "INSERT OR REPLACE INTO facts (kind, key, value, blobs, updated_ms) VALUES (?, ?, ?, '[]', ?)",
            KIND,
            id,
            new TextEncoder().encode(report),
            nowMs(),
          );
          const { count } = database.get("SELECT count(*) AS count FROM facts WHERE kind = ?", KIND) ?? {};
          if (Number(count) <= KEPT_BUILDS) return;
          forgetOld(database, { keep: KEPT_BUILDS, beforeMs: nowMs() - KEPT_MS });
          forgetOld(database, { keep: MAX_BUILDS, beforeMs: Number.MAX_SAFE_INTEGER });
        });
      } catch {
        // A full disk or a busy database: a finished build does not fail because its report cannot be written.
      }
    },
    *list() {
      const ids = database.all(`SELECT key FROM facts WHERE kind = ? ${NEWEST_FIRST}`, KIND);
      for (const { key } of ids) {
        const value = database.get("SELECT value FROM facts WHERE kind = ? AND key = ?", KIND, textOf(key))?.["value"];
        if (value instanceof Uint8Array) yield parseJson(new TextDecoder().decode(value));
      }
    },
    unfinished: () => begunIn(running, calls).map(({ path: _path, ...build }) => build),
    remove(ids) {
      const wanted = new Set(ids);
      for (const { id, path, state } of begunIn(running, calls))
        if (state === "interrupted" && wanted.has(id)) appendFileSync(path, `${FORGOTTEN}${id}\n`);
      const where = "kind = ? AND key IN (SELECT value FROM json_each(?))";
      database.run(`DELETE FROM facts WHERE ${where}`, KIND, JSON.stringify(ids));
    },
    forget: (limits) => database.transaction(() => forgetOld(database, limits)),
  };
}

/** Deletes reports beyond the newest `keep` that are older than a time. Returns their ids. */
function forgetOld(
  database: Database,
  { keep, beforeMs }: { readonly keep: number; readonly beforeMs: number },
): readonly string[] {
  const old = `SELECT key FROM facts WHERE kind = ?1 ${NEWEST_FIRST} LIMIT -1 OFFSET ?2`;
  const where = `kind = ?1 AND updated_ms < ?3 AND key IN (${old})`;
  const keys = database.all(`SELECT key FROM facts WHERE ${where}`, KIND, keep, beforeMs).map(({ key }) => textOf(key));
  if (keys.length > 0) database.run(`DELETE FROM facts WHERE ${where}`, KIND, keep, beforeMs);
  return keys;
}

interface BegunBuild extends UnfinishedBuild {
  /** The file of its process. */
  readonly path: string;
}

function begunIn(running: string, calls: LockCalls): readonly BegunBuild[] {
  return readdirSync(running).flatMap((name) => (name === "lock" ? [] : notedIn(join(running, name), calls)));
}

/** Lists builds that a process began. Builds that have ended are among them. */
function notedIn(path: string, calls: LockCalls): readonly BegunBuild[] {
  let fd: number;
  try {
    fd = openSync(path, "r");
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return []; // its process ended just now
    throw error;
  }
  try {
    const lines = readFileSync(fd, "utf8").split("\n");
    const noted = lines.flatMap((line) => (line.startsWith(BEGUN) ? [parseJson(line.slice(BEGUN.length))] : []));
    if (noted.length === 0) return [];
    const forgotten = new Set(
      lines.flatMap((line) => (line.startsWith(FORGOTTEN) ? [line.slice(FORGOTTEN.length)] : [])),
    );
    const state = calls.tryLock(fd, "shared") ? "interrupted" : "running";
    return noted.flatMap((report) =>
      isRecord(report) && typeof report["id"] === "string" && !forgotten.has(report["id"])
        ? [{ id: report["id"], state, report, path }]
        : [],
    );
  } finally {
    closeSync(fd);
  }
}

/** Makes reports of a killed process's builds, before its file is removed. */
export function keepInterrupted(
  { database, native }: { readonly database: Database; readonly native: LockCalls },
  path: string,
): void {
  const builds = notedIn(path, native).filter(({ state }) => state === "interrupted");
  const updatedMs = Math.round(statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? 0);
  for (const { id, report } of builds) {
    database.run(
      "INSERT OR IGNORE INTO facts (kind, key, value, blobs, updated_ms) VALUES (?, ?, ?, '[]', ?)",
      KIND,
      id,
      new TextEncoder().encode(JSON.stringify(report)),
      updatedMs,
    );
  }
}

/**
 * Names the logs that reports refer to, newest builds first, up to a limit of their size. A failed step has no cache
 * record that would keep its log.
 */
export function logsOfBuilds(database: Database, pathOf: (name: string) => string): ReadonlySet<string> {
  const rows = database.all(
    `SELECT json_extract(step.value, '$.log') AS log
     FROM (SELECT rowid AS row, CAST(value AS TEXT) AS report FROM facts
           WHERE kind = ? AND json_valid(CAST(value AS TEXT))) AS build,
          json_each(build.report, '$.steps') AS step
     WHERE step.type = 'object' AND log IS NOT NULL ORDER BY build.row DESC`,
    KIND,
  );
  const kept = new Set<string>();
  let left = MAX_LOG_BYTES;
  for (const { log } of rows) {
    if (typeof log !== "string" || kept.has(log)) continue;
    left -= statSync(pathOf(log), { throwIfNoEntry: false })?.size ?? 0;
    if (left < 0) break;
    kept.add(log);
  }
  return kept;
}
