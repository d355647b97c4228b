import { expect, test } from "vitest";
import { runInOrder, type Work } from "./run-in-order.ts";

const never = new AbortController().signal;

function works(needs: Readonly<Record<string, readonly string[]>>): Map<string, Work> {
  return new Map(Object.entries(needs).map(([id, list]) => [id, { id, needs: list }]));
}

test("what is needed comes first, and independent work runs at the same time", async () => {
  const events: string[] = [];
  const both = Promise.withResolvers<void>();
  let running = 0;
  await runInOrder(
    works({ app: ["left", "right"], left: ["base"], right: ["base"], base: [] }),
    async ({ id }) => {
      events.push(id);
      if (id !== "left" && id !== "right") return;
      running += 1;
      if (running === 2) both.resolve();
      await both.promise;
    },
    never,
  );
  expect(events).toEqual(["base", "left", "right", "app"]);
});

test("a failure stops the others, starts nothing more and is the error thrown", async () => {
  const events: string[] = [];
  const run = async ({ id }: Work, signal: AbortSignal): Promise<void> => {
    events.push(`start ${id}`);
    if (id === "bad") throw new Error("bad failed");
    await new Promise((_, reject) => signal.addEventListener("abort", () => reject(new Error("a consequence"))));
  };
  await expect(runInOrder(works({ slow: [], bad: [], next: ["bad"] }), run, never)).rejects.toThrow("bad failed");
  expect(events).toEqual(["start slow", "start bad"]);
});

test("a needed id outside the work is not waited for", async () => {
  const events: string[] = [];
  await runInOrder(works({ a: ["elsewhere"] }), async ({ id }) => void events.push(id), never);
  expect(events).toEqual(["a"]);
});

test("a chain of 20,000 is no deeper than any other", async () => {
  const chain = new Map<string, Work>();
  for (let i = 0; i < 20_000; i += 1) chain.set(String(i), { id: String(i), needs: i === 0 ? [] : [String(i - 1)] });
  let count = 0;
  await runInOrder(chain, async () => void (count += 1), never);
  expect(count).toBe(20_000);
});

test("aborting from outside is thrown as the signal's reason", async () => {
  const stop = new AbortController();
  const running = runInOrder(
    works({ a: [] }),
    (_, signal) => new Promise((_resolve, reject) => signal.addEventListener("abort", () => reject(signal.reason))),
    stop.signal,
  );
  stop.abort(new Error("interrupted"));
  await expect(running).rejects.toThrow("interrupted");
});
