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

test("findCycle names the way round", () => {
  const circle = new Map([
    ["a", ["b"]],
    ["b", ["a"]],
  ]);
  const cycle = findCycle(circle);
  expect(cycle).toHaveLength(3);
  expect(new Set(cycle)).toEqual(new Set(["a", "b"]));
  expect(cycle?.[0]).toBe(cycle?.[2]);
  expect(findCycle(new Map([["a", ["a"]]]))).toEqual(["a", "a"]);
  expect(findCycle(new Map([["a", ["b"]]]))).toBeUndefined();
});
