import { Readable } from "node:stream";
import { expect, test } from "vitest";
import { dockerfileText } from "./dockerfile-text.ts";

const never = new AbortController().signal;

test("a Dockerfile is its bytes as text, however they come", async () => {
  const bytes = Buffer.from("\ufeffFROM a # é\n");
  const stream = Readable.from([bytes.subarray(0, 14), bytes.subarray(14)]);
  const { name, text } = await dockerfileText(stream, "<stdin>", never);
  expect({ name, text }).toEqual({ name: "<stdin>", text: "\ufeffFROM a # é\n" });
});

test("one without an end is refused", async () => {
  const stream = new Readable({
    read() {
      this.push(Buffer.alloc(1 << 20));
    },
  });
  await expect(dockerfileText(stream, "/dev/zero", never)).rejects.toThrow(/"\/dev\/zero"/);
  expect(stream.destroyed).toBe(true);
});

test("one that does not come is not waited for when the signal says so", async () => {
  const abort = new AbortController();
  const reading = dockerfileText(new Readable({ read() {} }), "Dockerfile", abort.signal);
  abort.abort(new Error("enough"));
  await expect(reading).rejects.toThrow("enough");
});
