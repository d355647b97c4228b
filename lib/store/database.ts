import type { DatabaseSync, SQLInputValue, SQLOutputValue, StatementSync } from "node:sqlite";
import { closeSync, openSync, realpathSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { BuildError, errnoOf } from "../core/errors.ts";
import { guarded } from "./failure.ts";
import { MIGRATIONS, OUTPUT_FORMAT_VERSION, SCHEMA_SQL, SCHEMA_VERSION } from "./schema.ts";

export type Row = Readonly<Record<string, SQLOutputValue>>;

/** Longest path of a database, links followed: `MAX_PATHNAME` of SQLite's os_unix.c, less the names of its other files. */
const MAX_PATH_BYTES = 504;

/** Another writer's transaction lasts milliseconds; only a stopped process can hold the lock for this long. */
const BUSY_TIMEOUT_MS = 20_000;

/** How the store's owner keeps other processes away while the tables are made. */
interface WaysToOpen {
  /** Runs its argument in one process at a time. */
  readonly alone: (work: () => void) => void;
  /** Runs its argument while no other process can open the store. `check` throws when one has it open already. */
  readonly withoutUsers: (work: (check: () => void) => void) => void;
}

/** The database kiln.db: prepares statements on first use, runs transactions, reports failures as store errors. */
export class Database implements Disposable {
  readonly #database: DatabaseSync;
  readonly #statements = new Map<string, StatementSync>();
  readonly #path: string;
  #inTransaction = false;

  private constructor(database: DatabaseSync, path: string) {
    this.#database = database;
    this.#path = path;
  }

  /**
   * Opens or creates the database in an existing directory.
   * @throws {BuildError} `store/version` when a kiln with other tables or another output format wrote it; what `ways` throw
   */
  static open(path: string, ways: WaysToOpen): Database {
    // Not imported: Node cannot build a startup snapshot that has loaded node:sqlite.
    const { DatabaseSync } = process.getBuiltinModule("node:sqlite");
    return guarded(`open the store's database "${path}"`, () => {
      const database = openFile(() => new DatabaseSync(path, { timeout: BUSY_TIMEOUT_MS }), path);
      try {
        if (versionOf(database) === 0) ways.alone(() => create(database));
        else if (MIGRATIONS.has(versionOf(database))) ways.withoutUsers((check) => migrate(database, check));
        checkVersion(versionOf(database), path);
        // Commits survive a crash of the process at once, and a crash of the machine after the next checkpoint. What is
        // lost then is the end of the log as a whole: the store is as it was some moments earlier.
        database.exec("PRAGMA synchronous = NORMAL");
        return new Database(database, path);
      } catch (error) {
        database.close();
        throw whyNotOpened(path) ?? error;
      }
    });
  }

  get(sql: string, ...values: SQLInputValue[]): Row | undefined {
    return guarded("read the store's database", () => this.#prepared(sql).get(...values));
  }

  all(sql: string, ...values: SQLInputValue[]): readonly Row[] {
    return guarded("read the store's database", () => this.#prepared(sql).all(...values));
  }

  /**
   * Runs a statement.
   * @returns the number of changed rows
   */
  run(sql: string, ...values: SQLInputValue[]): number {
    return guarded("write the store's database", () => Number(this.#prepared(sql).run(...values).changes));
  }

  /**
   * Runs `work`, which must not wait, in one write transaction, all or nothing. Inside another one it joins that.
   * IMMEDIATE: a transaction that began by reading and then writes would fail at once (SQLITE_BUSY, no timeout) if
   * another process wrote in between.
   */
  transaction<T>(work: () => T): T {
    if (this.#inTransaction) return work();
    return guarded("write the store's database", () => {
      this.#database.exec("BEGIN IMMEDIATE");
      this.#inTransaction = true;
      try {
        const result = work();
        this.#database.exec("COMMIT");
        return result;
      } catch (error) {
        // SQLite rolls back by itself when the disk is full; a second ROLLBACK would hide that reason.
        if (this.#database.isTransaction) this.#database.exec("ROLLBACK");
        throw error;
      } finally {
        this.#inTransaction = false;
      }
    });
  }

  /** Returns a number that changes when another connection commits, but not when this one does. */
  version(): number {
    return Number(this.get("PRAGMA data_version")?.["data_version"]);
  }

  /**
   * Checks again that the tables are those of this kiln: until the store's registration a newer one may have migrated them.
   * @throws {BuildError} `store/version`
   */
  checkVersion(): void {
    guarded("read the store's database", () => checkVersion(versionOf(this.#database), this.#path));
  }

  /** Moves the log into the database file and frees its space. Best effort: readers may prevent it. */
  compact(): void {
    guarded("compact the store's database", () => {
      this.#database.exec("PRAGMA incremental_vacuum");
      this.#database.exec("PRAGMA wal_checkpoint(TRUNCATE)");
    });
  }

  /** Lists problems that SQLite finds in the file, one a line; empty when there are none. */
  problems(): readonly string[] {
    const rows = [...this.all("PRAGMA integrity_check"), ...this.all("PRAGMA foreign_key_check")];
    return rows.map((row) => Object.values(row).join(" ")).filter((line) => line !== "ok");
  }

  [Symbol.dispose](): void {
    this.#statements.clear();
    if (this.#database.isOpen) this.#database.close();
  }

  #prepared(sql: string): StatementSync {
    let statement = this.#statements.get(sql);
    if (statement === undefined) {
      statement = this.#database.prepare(sql);
      this.#statements.set(sql, statement);
    }
    return statement;
  }
}

const VERSION = SCHEMA_VERSION * 1000 + OUTPUT_FORMAT_VERSION;

function versionOf(database: DatabaseSync): number {
  return Number(database.prepare("PRAGMA user_version").get()?.["user_version"] ?? 0);
}

function create(database: DatabaseSync): void {
  // Another process may have created the tables since our check.
  if (versionOf(database) !== 0) return;
  // The file remembers both settings. Auto-vacuum must be chosen before the first table. There is nothing yet that
  // waiting for the disk could save.
  database.exec("PRAGMA synchronous = OFF");
  database.exec("PRAGMA auto_vacuum = INCREMENTAL");
  database.exec("PRAGMA journal_mode = WAL");
  database.exec(`BEGIN IMMEDIATE; ${SCHEMA_SQL} PRAGMA user_version = ${VERSION}; COMMIT`);
}

/** Migrates the store of an earlier kiln. `check` throws while a process that knows the old tables has it open. */
function migrate(database: DatabaseSync, check: () => void): void {
  // Another process may have migrated it since our check, and use it now.
  const steps = MIGRATIONS.get(versionOf(database));
  if (steps === undefined) return;
  check();
  database.exec(`BEGIN IMMEDIATE; ${steps} PRAGMA user_version = ${VERSION}; COMMIT`);
}

function checkVersion(found: number, path: string): void {
  if (found === VERSION) return;
  const schema = Math.floor(found / 1000);
  const age = found > VERSION ? "newer" : "older";
  throw new BuildError(
    "store/version",
    `Cannot use the store "${path}": a ${age} kiln wrote it (tables ${schema}, output format ${found % 1000}; ` +
      `this kiln has ${SCHEMA_VERSION} and ${OUTPUT_FORMAT_VERSION})`,
    { hint: `use that kiln, or start a new store with --root` },
  );
}

/** Returns the system's reason why a database's file cannot be written, which SQLite does not tell. */
function whyNotOpened(path: string): unknown {
  try {
    closeSync(openSync(path, "r+"));
    return undefined;
  } catch (error) {
    return errnoOf(error) === "ENOENT" ? undefined : error;
  }
}

/** Opens the file, and says what SQLite does not: that the path is too long for it. */
function openFile(open: () => DatabaseSync, path: string): DatabaseSync {
  try {
    return open();
  } catch (error) {
    const directory = dirname(path);
    const sizeBytes = Buffer.byteLength(join(realpathSync(directory), basename(path)));
    if (sizeBytes <= MAX_PATH_BYTES) throw error;
    const most = MAX_PATH_BYTES - basename(path).length - 1;
    throw new BuildError(
      "store/unusable",
      `Cannot use the store "${directory}": its path has ${sizeBytes - basename(path).length - 1} bytes, and a store's may have ${most}`,
      { hint: "choose a shorter one with --root or KILN_ROOT; a link to this one does not help", cause: error },
    );
  }
}
