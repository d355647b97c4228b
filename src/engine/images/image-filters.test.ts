import { expect, test } from "vitest";
import { parseReference } from "../../../lib/core/reference.ts";
import type { ImageSummary, Store } from "../../../lib/store/store.ts";
import { imageFilter } from "./image-filters.ts";

const NAMES = ["app:1", "app:latest", "team/app:1", "localhost:5000/team/app:1", undefined];

// Names alone are asked about, so neither store nor image is looked at.
const list = async (pattern: string | undefined, filters: readonly string[] = []): Promise<readonly string[]> => {
  const { passes } = await imageFilter(pattern, filters, {} as Store);
  return NAMES.filter((name) =>
    passes({ image: {} as ImageSummary, name: name === undefined ? undefined : parseReference(name) }),
  ).map((name) => name ?? "<none>");
};

test.each([
  { pattern: "app", shows: ["app:1", "app:latest"] },
  { pattern: "app:1", shows: ["app:1"] },
  { pattern: "docker.io/library/app", shows: ["app:1", "app:latest"] },
  { pattern: "*:1", shows: ["app:1"] },
  { pattern: "*/*:1", shows: ["team/app:1"] },
  { pattern: "**/app:1", shows: ["app:1", "team/app:1", "localhost:5000/team/app:1"] },
  { pattern: "localhost:5000/**", shows: ["localhost:5000/team/app:1"] },
  { pattern: "{app,team/app}:[0-9]", shows: ["app:1", "team/app:1"] },
  { pattern: "absent", shows: [] },
])("$pattern", async ({ pattern, shows }) => {
  expect(await list(pattern)).toEqual(shows);
});

test.each([
  {
    name: "of one key are alternatives",
    filters: ["reference=app:1", "reference=team/*"],
    shows: ["app:1", "team/app:1"],
  },
  { name: "of several keys are conditions", filters: ["reference=app", "dangling=true"], shows: [] },
  { name: "dangling=true", filters: ["dangling=true"], shows: ["<none>"] },
])("filters: $name", async ({ filters, shows }) => {
  expect(await list(undefined, filters)).toEqual(shows);
});

test.each([
  { filter: "refrence=x", says: 'did you mean "reference"' },
  { filter: "x", says: 'Cannot use --filter "x"' },
  { filter: "dangling=perhaps", says: "true or false" },
])("--filter $filter is refused", async ({ filter, says }) => {
  await expect(list(undefined, [filter])).rejects.toThrow(says);
});
