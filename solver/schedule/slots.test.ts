import { expect, test } from "vitest";
import { Slots } from "./slots.ts";

const never = new AbortController().signal;

test("the highest priority is next, and among equals the first come", async () => {
  const slots = new Slots(1);
  const order: string[] = [];
  const held = await slots.acquire(0, never);
  const waiting = [
    { name: "low", priority: 1 },
    { name: "high", priority: 9 },
    { name: "high too", priority: 9 },
    { name: "middle", priority: 5 },
  ].map(async ({ name, priority }) => {
    using _slot = await slots.acquire(priority, never);
    order.push(name);
  });
  held[Symbol.dispose]();
  await Promise.all(waiting);
  expect(order).toEqual(["high", "high too", "middle", "low"]);
});

test("whoever gives up waiting leaves the line", async () => {
  const slots = new Slots(1);
  const held = await slots.acquire(0, never);
  const stop = new AbortController();
  const first = slots.acquire(2, stop.signal);
  const second = slots.acquire(1, never);
  stop.abort(new Error("changed my mind"));
  await expect(first).rejects.toThrow("changed my mind");
  held[Symbol.dispose]();
  (await second)[Symbol.dispose]();
  (await slots.acquire(0, never))[Symbol.dispose]();
});
