/**
 * The tables of kiln.db. Times are milliseconds since the epoch, digests are full `sha256:<hex>` text, lists are JSON.
 * Blobs have no table: a blob exists when its file does, and is garbage when no row names it.
 */
export const SCHEMA_SQL = `
CREATE TABLE refs (
  name TEXT PRIMARY KEY,
  digest TEXT NOT NULL,
  descriptor TEXT NOT NULL,
  updated_ms INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX refs_by_digest ON refs (digest);

CREATE TABLE images (
  digest TEXT PRIMARY KEY,
  kind TEXT NOT NULL CHECK (kind IN ('image', 'index')),
  media_type TEXT NOT NULL,
  config_digest TEXT,
  -- image: snapshot ids, lowest first; index: manifest digests
  members TEXT NOT NULL,
  created_ms INTEGER NOT NULL,
  last_used_ms INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX images_by_config ON images (config_digest);

CREATE TABLE snapshots (
  id TEXT PRIMARY KEY,
  state TEXT NOT NULL CHECK (state IN ('present', 'absent')),
  diff_id TEXT,
  tar_size INTEGER,
  content_digest TEXT,
  disk_bytes INTEGER,
  created_ms INTEGER NOT NULL,
  last_used_ms INTEGER NOT NULL,
  -- for layers with times that count: pairs of nanoseconds since the epoch, the runs during which the files were made
  run_ns TEXT
) WITHOUT ROWID;
CREATE INDEX snapshots_by_diff_id ON snapshots (diff_id) WHERE diff_id IS NOT NULL;
CREATE INDEX snapshots_by_content ON snapshots (content_digest) WHERE content_digest IS NOT NULL;

CREATE TABLE layer_blobs (
  diff_id TEXT NOT NULL,
  digest TEXT NOT NULL,
  -- empty: in this store
  repository TEXT NOT NULL,
  descriptor TEXT NOT NULL,
  added_ms INTEGER NOT NULL,
  PRIMARY KEY (diff_id, digest, repository)
) WITHOUT ROWID;
CREATE INDEX layer_blobs_by_digest ON layer_blobs (digest);

-- rowid order is the order of recording: it decides which of two records with one key is newer
CREATE TABLE records (
  seq INTEGER PRIMARY KEY,
  id TEXT NOT NULL UNIQUE,
  definition_key TEXT NOT NULL,
  content_key TEXT,
  site TEXT NOT NULL,
  name TEXT NOT NULL,
  parts TEXT NOT NULL,
  layers TEXT NOT NULL,
  wall_ms REAL NOT NULL,
  cpu_ms REAL NOT NULL,
  peak_memory INTEGER,
  log_file TEXT,
  producer TEXT NOT NULL,
  created_ms INTEGER NOT NULL,
  last_used_ms INTEGER NOT NULL
);
CREATE INDEX records_by_content_key ON records (content_key) WHERE content_key IS NOT NULL;
CREATE INDEX records_by_site ON records (site, seq);

-- every definition key that leads to a record: its own and those early cutoff found
CREATE TABLE definition_keys (
  key TEXT NOT NULL,
  record INTEGER NOT NULL REFERENCES records (seq) ON DELETE CASCADE,
  PRIMARY KEY (key, record)
) WITHOUT ROWID;
CREATE INDEX definition_keys_by_record ON definition_keys (record);

-- keys of collected records, so that a miss can say so; the oldest are dropped
CREATE TABLE pruned_keys (
  key TEXT PRIMARY KEY,
  pruned_ms INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TABLE facts (
  kind TEXT NOT NULL,
  key TEXT NOT NULL,
  value BLOB NOT NULL,
  blobs TEXT NOT NULL,
  updated_ms INTEGER NOT NULL,
  PRIMARY KEY (kind, key)
);
`;

/** Version of the tables; raise it when they change. */
export const SCHEMA_VERSION = 2;

/**
 * Version of the bytes made from a snapshot (layer tars, content digests, listings); raise it when they change, because
 * recorded digests no longer match newly made bytes.
 */
export const OUTPUT_FORMAT_VERSION = 2;

/**
 * Statements that migrate the store of an earlier version, by the number in its file (tables * 1000 + output format).
 * Other versions are refused.
 */
export const MIGRATIONS: ReadonlyMap<number, string> = new Map([
  // Content digests had no times, and the runs of commands are unknown: no layer counts as equal to another by them.
  // Old records have old keys, and are collected in time.
  [1001, "ALTER TABLE snapshots ADD COLUMN run_ns TEXT; UPDATE snapshots SET content_digest = NULL;"],
]);
