import { mkdtempSync, renameSync, rmSync, writeFileSync, appendFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { BlobGrowth, KEPT_CHUNKS } from "./growing-blob.ts";

const signal = new AbortController().signal;
let directory = "";
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "kiln-growing-"));
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

async function textOf(chunks: AsyncIterable<Buffer>): Promise<string> {
  let text = "";
  for await (const chunk of chunks) text += chunk.toString();
  return text;
}

test("a reader gets what was there before it came, what comes later, and the end, whatever the file is called by then", async () => {
  const file = join(directory, "new");
  writeFileSync(file, "one ");
  const growth = new BlobGrowth(file);
  growth.grew(4);
  const reader = growth.read(0, signal);
  expect((await reader.next()).value?.toString()).toBe("one ");
  const rest = textOf(reader);
  appendFileSync(file, "two ");
  growth.grew(8);
  renameSync(file, join(directory, "done"));
  appendFileSync(join(directory, "done"), "three");
  growth.grew(13);
  growth.completed(join(directory, "done"));
  expect(await rest).toBe("two three");
  expect(await textOf(growth.read(0, signal))).toBe("one two three");
});

test("a chunk stays as it is while the next ones are asked for", async () => {
  const file = join(directory, "new");
  const growth = new BlobGrowth(file);
  writeFileSync(file, "");
  const reader = growth.read(0, signal);
  const chunks: Buffer[] = [];
  for (let n = 0; n < 3 * KEPT_CHUNKS; n += 1) {
    appendFileSync(file, String.fromCharCode(97 + n));
    growth.grew(n + 1);
    const { value } = await reader.next();
    if (value !== undefined) chunks.push(value);
    const kept = chunks.slice(-KEPT_CHUNKS - 1).join("");
    expect("abcdefghijklmnopqrstuvwxyz".slice(0, n + 1).endsWith(kept)).toBe(true);
  }
  growth.completed(file);
  expect((await reader.next()).done).toBe(true);
});

test("a reader of an empty blob sees its end", async () => {
  const growth = new BlobGrowth(join(directory, "none"));
  const text = textOf(growth.read(0, signal));
  growth.completed(join(directory, "none"));
  expect(await text).toBe("");
});

test("a failure of the writer is the readers' too", async () => {
  const growth = new BlobGrowth(join(directory, "none"));
  const text = textOf(growth.read(0, signal));
  growth.failed(new Error("no space left"));
  await expect(text).rejects.toThrow("no space left");
});

test("an aborted reader does not wait for the writer", async () => {
  const stop = new AbortController();
  const growth = new BlobGrowth(join(directory, "none"));
  const text = textOf(growth.read(0, stop.signal));
  stop.abort(new Error("enough"));
  await expect(text).rejects.toThrow("enough");
});
