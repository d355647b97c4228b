import { expect, test } from "vitest";
import { unmappedId } from "./host.ts";

const many = {
  uids: [{ first: 0, count: 1001 }],
  gids: [
    { first: 0, count: 1 },
    { first: 100, count: 900 },
  ],
};

test.each([
  { user: { uid: 0, gid: 0, supplementary: [] }, missing: undefined },
  { user: { uid: 1000, gid: 999, supplementary: [100] }, missing: undefined },
  { user: { uid: 1001, gid: 0, supplementary: [] }, missing: "user 1001" },
  { user: { uid: 1000, gid: 50, supplementary: [] }, missing: "group 50" },
  { user: { uid: 1000, gid: 100, supplementary: [0, 4_000_000_000] }, missing: "group 4000000000" },
])("of $user.uid:$user.gid $user.supplementary, $missing is beyond the map", ({ user, missing }) => {
  expect(unmappedId(user, many)).toBe(missing);
  expect(unmappedId(user, undefined)).toBeUndefined();
});
