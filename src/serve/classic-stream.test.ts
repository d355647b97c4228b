import { expect, test } from "vitest";
import type { ProgressEvent } from "../../lib/core/progress.ts";
import { ClassicStream } from "./classic-stream.ts";
import type { MessageStream } from "./message-stream.ts";

const atMs = 0;
const log = (id: string, data: string): ProgressEvent => ({ kind: "log", id, stream: "stdout", data, atMs });
const begin = (id: string): ProgressEvent => ({ kind: "step-started", id, name: id, atMs });
const end = (id: string): ProgressEvent => ({ kind: "step-done", id, atMs });
const plan: ProgressEvent = {
  kind: "plan",
  id: "build",
  steps: ["a", "b", "c"].map((id) => ({ id, name: `[stage 1/3] RUN ${id}`, inputs: [] })),
  outputs: 1,
  atMs,
};

function textOf(events: readonly ProgressEvent[]): string {
  let text = "";
  const send = ({ stream: said }: Readonly<Record<string, unknown>>): void => {
    if (typeof said === "string") text += said;
  };
  const messages: Pick<MessageStream, "send" | "sendPassing"> = { send, sendPassing: send };
  const stream = new ClassicStream(messages);
  for (const event of events) stream.sink(event);
  stream.flush();
  return text;
}

test.each([
  {
    name: "steps one after the other, internal work left out",
    events: [begin("internal"), plan, begin("a"), log("a", "1\n"), end("a"), begin("b"), log("b", "2\n"), end("b")],
    says: "Step 1/3 : RUN a\n1\nStep 2/3 : RUN b\n2\n",
  },
  {
    name: "steps side by side keep their texts together",
    events: [
      plan,
      begin("a"),
      begin("b"),
      log("b", "2\n"),
      log("a", "1\n"),
      begin("c"),
      end("c"),
      end("a"),
      log("b", "3\n"),
      end("b"),
    ],
    says: "Step 1/3 : RUN a\n1\nStep 2/3 : RUN b\n2\n3\nStep 3/3 : RUN c\n",
  },
  {
    name: "what waits when the build ends is shown",
    events: [plan, begin("a"), begin("b"), log("b", "why it failed\n")],
    says: "Step 1/3 : RUN a\nStep 2/3 : RUN b\nwhy it failed\n",
  },
  {
    name: "a cached step",
    events: [plan, { kind: "step-cached", id: "a", name: "a", atMs } as const, begin("b")],
    says: "Step 1/3 : RUN a\n ---> Using cache\nStep 2/3 : RUN b\n",
  },
])("$name", ({ events, says }) => {
  expect(textOf(events)).toBe(says);
});

test("text that waits is bounded", () => {
  const much = "x".repeat(1 << 19);
  const text = textOf([plan, begin("a"), begin("b"), log("b", much), log("b", much), log("a", "1\n")]);
  expect(text.indexOf("RUN b")).toBeLessThan(text.indexOf("1\n", text.indexOf("x")));
});
