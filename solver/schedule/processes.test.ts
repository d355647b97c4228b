import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { type Script, startScript } from "../../test/support/script.ts";
import { solve } from "../solve.ts";
import { Workbench } from "../testing/workbench.ts";

/**
 * A process that builds one step on a shared store when it is told to `go`. The step says `running` and ends when it is
 * told to `finish`.
 */
function builder(directory: string, command = "work"): Script {
  return startScript(`
    import { createInterface } from "node:readline";
    import { Workbench } from "ROOT/solver/testing/workbench.ts";
    import { solve } from "ROOT/solver/solve.ts";
    const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
    const bench = new Workbench(${JSON.stringify(directory)});
    bench.commands.set(${JSON.stringify(command)}, async (tree) => {
      console.log("running");
      await lines.next();
      tree.write("made", String(process.pid));
    });
    const target = bench.run(bench.image("one"), ${JSON.stringify(command)});
    console.log("ready");
    await lines.next();
    const deps = bench.deps();
    const result = await solve(bench.graph(target), deps, bench.options(), new AbortController().signal);
    console.log(result.outcomes.get(target.digest).how + " " + result.targets[0].layers.at(-1).snapshot);
    process.exit(0);
  `);
}

function runs(bench: Workbench): string[] {
  return readFileSync(join(bench.directory, "ran.log"), "utf8").trim().split("\n");
}

test("a step that two processes want runs once, and both have its result", async () => {
  await using bench = new Workbench();
  await using one = builder(bench.directory);
  await using two = builder(bench.directory);
  await Promise.all([one.line(), two.line()]);
  one.send("go");
  expect(await one.line()).toBe("running");
  two.send("go");
  one.send("finish");
  const [how, snapshot] = (await one.line()).split(" ");
  expect(how).toBe("ran");
  expect(await two.line()).toBe(`cached ${snapshot}`);
  expect(runs(bench)).toEqual(["work"]);
});

test("when the process that runs a step is killed, the one that waits runs it", async () => {
  await using bench = new Workbench();
  await using one = builder(bench.directory);
  await using two = builder(bench.directory);
  await Promise.all([one.line(), two.line()]);
  one.send("go");
  expect(await one.line()).toBe("running");
  two.send("go");
  one.kill();
  expect(await two.line()).toBe("running");
  two.send("finish");
  expect(await two.line()).toMatch(/^ran /);
  expect(runs(bench)).toEqual(["work", "work"]);
});

test("cancelling one of two builds in a process that share a step does not cancel the other's", async () => {
  await using bench = new Workbench();
  const started = Promise.withResolvers<void>();
  const finish = Promise.withResolvers<void>();
  bench.commands.set("work", async (tree) => {
    started.resolve();
    const aborted = Promise.withResolvers<never>();
    tree.signal.addEventListener("abort", () => aborted.reject(tree.signal.reason));
    await Promise.race([finish.promise, aborted.promise]);
    tree.write("made", "x");
  });
  const target = bench.run(bench.image("one"), "work");
  const stop = new AbortController();
  using deps = bench.deps();
  const cancelled = solve(bench.graph(target), deps, bench.options(), stop.signal);
  await started.promise;
  const other = solve(bench.graph(target), deps, bench.options(), new AbortController().signal);
  stop.abort(new Error("cancelled by its user"));
  await expect(cancelled).rejects.toThrow("cancelled by its user");
  finish.resolve();
  const result = await other;
  expect(result.outcomes.get(target.digest)?.how).toBe("ran");
});
