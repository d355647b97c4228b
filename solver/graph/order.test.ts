import { expect, test } from "vitest";
import { findCycle, inputsFirst } from "./order.ts";
import { vertex } from "./vertex.ts";

const local = (name: string) => vertex({ kind: "local", name, excludes: [] }, []);

test("inputs come before their users, each vertex once", () => {
  const shared = local("context");
  const left = vertex({ kind: "merge" }, [shared]);
  const right = vertex({ kind: "diff" }, [shared, left]);
  const order = inputsFirst([right, left, shared]);
  expect(order).toHaveLength(3);
  expect(order.map((each) => each.op.kind)).toEqual(["local", "merge", "diff"]);
});

test("a vertex digest depends on the op and on everything upstream", () => {
  const a = vertex({ kind: "merge" }, [local("a")]);
  expect(vertex({ kind: "merge" }, [local("a")]).digest).toBe(a.digest);
  expect(vertex({ kind: "merge" }, [local("b")]).digest).not.toBe(a.digest);
  expect(vertex({ kind: "diff" }, [local("a")]).digest).not.toBe(a.digest);
});

test("a deep chain is ordered without recursion", () => {
  let top = local("a");
  for (let depth = 0; depth < 20_000; depth += 1) top = vertex({ kind: "merge" }, [top]);
  expect(inputsFirst([top])).toHaveLength(20_001);
});

test.each<{ name: string; needs: Record<string, string[]>; cycle: string[] | undefined }>([
  { name: "two names", needs: { a: ["b"], b: ["a"] }, cycle: ["a", "b", "a"] },
  { name: "one name", needs: { a: ["a"] }, cycle: ["a", "a"] },
  { name: "none", needs: { a: ["b"] }, cycle: undefined },
  { name: "nothing", needs: {}, cycle: undefined },
  { name: "names that are needed twice", needs: { a: ["b", "c"], b: ["d"], c: ["d"], d: [] }, cycle: undefined },
  {
    name: "a way into the circle and out of it",
    needs: { a: ["b"], b: ["c", "z"], c: ["b"], z: [] },
    cycle: ["b", "c", "b"],
  },
  {
    name: "two circles with a name in common: one of them, as it runs",
    needs: { a: ["b"], b: ["c", "d"], c: ["a"], d: ["b"] },
    cycle: ["a", "b", "c", "a"],
  },
])("findCycle finds $name", ({ needs, cycle }) => {
  expect(findCycle(new Map(Object.entries(needs)))).toEqual(cycle);
});

test("a circle and a chain of ten thousand names need no stack", () => {
  const chain = Array.from({ length: 10_000 }, (_, index): [string, string[]] => [`n${index}`, [`n${index + 1}`]]);
  expect(findCycle(new Map(chain))).toBeUndefined();
  expect(findCycle(new Map([...chain, ["n10000", ["n0"]]]))).toHaveLength(10_002);
});
