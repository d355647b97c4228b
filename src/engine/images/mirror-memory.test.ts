import { expect, test } from "vitest";
import type { Fact } from "../../../lib/store/store.ts";
import { mirrorMemory } from "./mirror-memory.ts";

const NOTED_MS = 1_000_000;

test.each([
  { name: "at once", ageMs: 0, isKnown: true },
  { name: "two minutes later", ageMs: 120_000, isKnown: true },
  { name: "four minutes later", ageMs: 240_000, isKnown: false },
  { name: "with a clock that was set back", ageMs: -1, isKnown: false },
])("a mirror's silence is remembered: $name", ({ ageMs, isKnown }) => {
  const rows = new Map<string, Fact>();
  const facts = {
    get: (kind: string, key: string) => rows.get(`${kind} ${key}`),
    set: (kind: string, key: string, { value }: { readonly value: Uint8Array }) =>
      void rows.set(`${kind} ${key}`, { value, blobs: [], updatedAtMs: NOTED_MS }),
    delete: (kind: string, key: string) => void rows.delete(`${kind} ${key}`),
  };
  const memory = mirrorMemory(facts, { nowMs: () => NOTED_MS + ageMs });
  memory.note("mirror.test", "it does not answer");
  expect(memory.recall("mirror.test")).toBe(isKnown ? "it does not answer" : undefined);
  expect(memory.recall("other.test")).toBeUndefined();
  memory.forget("mirror.test");
  expect(memory.recall("mirror.test")).toBeUndefined();
});
