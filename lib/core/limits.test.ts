import { setImmediate as nextTurn } from "node:timers/promises";
import { expect, test } from "vitest";
import { Semaphore, mapLimit } from "./limits.ts";

const never = new AbortController().signal;

test("mapLimit keeps the order of the items and never runs more than its limit", async () => {
  let running = 0;
  let most = 0;
  const results = await mapLimit([5, 1, 4, 2, 3], 2, never, async (item) => {
    running += 1;
    most = Math.max(most, running);
    for (let turn = 0; turn < item; turn += 1) await nextTurn();
    running -= 1;
    return item * 10;
  });
  expect(results).toEqual([50, 10, 40, 20, 30]);
  expect(most).toBe(2);
});

test("mapLimit throws the first failure, after the others have stopped", async () => {
  let stopped = false;
  const work = mapLimit([1, 2, 3], 2, never, async (item, signal) => {
    if (item === 1) throw new Error("first");
    while (!signal.aborted) await nextTurn();
    stopped = true;
    return item;
  });
  await expect(work).rejects.toThrow("first");
  expect(stopped).toBe(true);
});

test("mapLimit passes an abort on", async () => {
  const abort = new AbortController();
  const work = mapLimit([1], 1, abort.signal, async (_, signal) => {
    abort.abort(new Error("enough"));
    signal.throwIfAborted();
  });
  await expect(work).rejects.toThrow("enough");
});

test("a semaphore hands permits out first come, first served", async () => {
  const semaphore = new Semaphore(1);
  const order: number[] = [];
  const hold = async (id: number): Promise<void> => {
    using _permit = await semaphore.acquire(0, never);
    order.push(id);
    await nextTurn();
  };
  await Promise.all([hold(1), hold(2), hold(3)]);
  expect(order).toEqual([1, 2, 3]);
});

test("a semaphore serves the highest priority first", async () => {
  const semaphore = new Semaphore(1);
  const order: string[] = [];
  const held = await semaphore.acquire(0, never);
  const waiting = [
    { name: "low", priority: 1 },
    { name: "high", priority: 9 },
    { name: "high too", priority: 9 },
    { name: "middle", priority: 5 },
  ].map(async ({ name, priority }) => {
    using _permit = await semaphore.acquire(priority, never);
    order.push(name);
  });
  held[Symbol.dispose]();
  await Promise.all(waiting);
  expect(order).toEqual(["high", "high too", "middle", "low"]);
});

test("an aborted wait for a permit does not lose the permit", async () => {
  const semaphore = new Semaphore(1);
  const first = await semaphore.acquire(0, never);
  const abort = new AbortController();
  const second = semaphore.acquire(0, abort.signal);
  const third = semaphore.acquire(0, never);
  abort.abort(new Error("gone"));
  await expect(second).rejects.toThrow("gone");
  first[Symbol.dispose]();
  await expect(third).resolves.toBeDefined();
});
