import { expect, test } from "vitest";
import type { ProgressEvent } from "../../lib/core/progress.ts";
import { SharedDisplay } from "./target-progress.ts";

const KEYS = new Map([
  ["v1", { definitionKey: "k1" }],
  ["v2", { definitionKey: "k2" }],
]);

function displayed(script: (display: SharedDisplay) => void): string[] {
  const shown: string[] = [];
  script(
    new SharedDisplay((event) => {
      const rest = event.kind === "plan" ? event.steps.map(({ id, name }) => `${id}=${name}`).join(" ") : "";
      const text = "name" in event ? event.name : event.kind === "log" ? event.data : rest;
      shown.push(`${event.kind} ${"id" in event ? event.id : ""} ${text}`.trim());
    }),
  );
  return shown;
}

const started = (id: string): ProgressEvent => ({ kind: "step-started", id, name: "[base 1/1] RUN x", atMs: 0 });
const cached = (id: string): ProgressEvent => ({ kind: "step-cached", id, name: "[base 1/1] RUN x", atMs: 0 });
const done = (id: string): ProgressEvent => ({ kind: "step-done", id, atMs: 1 });

test("a step that two targets share is one line, and in one plan", () => {
  const shown = displayed((display) => {
    const [a, b] = [display.target("a"), display.target("b")];
    for (const target of [a, b]) {
      const steps = [{ id: "v1", name: "[base 1/1] RUN x", inputs: [] }];
      target.show({ kind: "plan", id: "p", steps, outputs: 1, atMs: 0 });
      target.keyed(KEYS);
    }
    b.show(started("v1"));
    b.show({ kind: "log", id: "v1", stream: "stdout", data: "hello", atMs: 0 });
    b.show(done("v1"));
    a.show(cached("v1"));
  });
  expect(shown).toEqual([
    "plan a/p k1=[a base 1/1] RUN x",
    "plan b/p",
    "step-started k1 [b base 1/1] RUN x",
    "log k1 hello",
    "step-done k1",
  ]);
});

test("a step that runs once more is a line of its own, and so is work before the keys are known", () => {
  const shown = displayed((display) => {
    const [a, b] = [display.target("a"), display.target("b")];
    a.show(started("local"));
    b.show(started("local"));
    a.keyed(KEYS);
    b.keyed(KEYS);
    a.show(cached("v1"));
    b.show(started("v1"));
    b.show(done("v1"));
  });
  expect(shown).toEqual([
    "step-started a/local [a base 1/1] RUN x",
    "step-started b/local [b base 1/1] RUN x",
    "step-cached k1 [a base 1/1] RUN x",
    "step-started b/v1 [b base 1/1] RUN x",
    "step-done b/v1",
  ]);
});

test("a question about one base image is asked by several and shown once", () => {
  const shown = displayed((display) => {
    const [a, b] = [display.target("a"), display.target("b")];
    for (const target of [a, b]) target.show(started("metadata:alpine"));
    for (const target of [b, a]) target.show(done("metadata:alpine"));
    const late = display.target("late");
    for (const event of [started, done]) late.show(event("metadata:alpine"));
  });
  expect(shown).toEqual(["step-started metadata:alpine [a base 1/1] RUN x", "step-done metadata:alpine"]);
});
