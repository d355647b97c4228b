import { describe, expect, test } from "vitest";
import { convert, opOf, opsOf, resolverOf } from "./convert.fixture.ts";
import type { ContextSource } from "./resolver.ts";

const REMOTE = [
  "FROM busybox",
  "ARG SOURCE_DATE_EPOCH",
  "COPY . /a",
  "COPY --from=more . /b",
  "ADD https://h/r.git /r",
  "ADD https://h/file /f",
  "RUN make",
  "",
].join("\n");
const more: ContextSource = { kind: "local", name: "more", excludes: [] };

describe("a reproducible conversion", () => {
  test.each([
    { name: "the default", args: {}, head: "", epoch: 500 },
    { name: "an argument", args: { SOURCE_DATE_EPOCH: "7" }, head: "", epoch: 7 },
    { name: "a default of the Dockerfile", args: {}, head: "ARG SOURCE_DATE_EPOCH=8\n", epoch: 8 },
    { name: "the default, for an empty argument", args: { SOURCE_DATE_EPOCH: "" }, head: "", epoch: 500 },
    { name: "the default, for a source without a date", args: { SOURCE_DATE_EPOCH: "context" }, head: "", epoch: 500 },
  ])("has one date, everywhere: $name", async ({ args, head, epoch }) => {
    const options = { buildArgs: new Map(Object.entries(args)), reproducible: { epoch: 500 } };
    const conversion = await convert(head + REMOTE, options, resolverOf({ contexts: { more } }));
    expect(conversion.sourceDateEpoch).toBe(epoch);
    expect(opsOf(conversion, "local").map(({ uniformTime }) => uniformTime)).toEqual([epoch, epoch]);
    expect(opOf(conversion, "git").mtime).toBe("commit");
    expect(opOf(conversion, "http").modified).toBe(epoch);
    expect(opOf(conversion, "exec").env.flat()).toContain(`SOURCE_DATE_EPOCH=${epoch}`);
  });

  test("any other takes files as they are", async () => {
    const conversion = await convert(REMOTE, {}, resolverOf({ contexts: { more } }));
    expect(opsOf(conversion, "local").every((op) => !("uniformTime" in op))).toBe(true);
    expect(opOf(conversion, "git").mtime).toBe("checkout");
    expect(opOf(conversion, "http")).not.toHaveProperty("modified");
    expect(conversion.sourceDateEpoch).toBeUndefined();
  });
});
