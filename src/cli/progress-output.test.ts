import { expect, test } from "vitest";
import type { Host } from "./host.ts";
import { openProgress, progressMode } from "./progress-output.ts";

/** Makes a host with the members used here, and no others. */
function hostWith(env: Host["env"], stderr: Partial<Host["stderr"]>): Host {
  const host: Partial<Host> = { env, stderr: stderr as Host["stderr"], nowMs: () => 0 };
  return host as Host;
}

test.each([
  { name: "a terminal", env: { TERM: "xterm" }, isTTY: true, flag: undefined, mode: "tty" },
  { name: "a terminal without TERM", env: {}, isTTY: true, flag: undefined, mode: "tty" },
  { name: "a dumb terminal", env: { TERM: "dumb" }, isTTY: true, flag: undefined, mode: "plain" },
  { name: "a dumb terminal and --progress=tty", env: { TERM: "dumb" }, isTTY: true, flag: "tty", mode: "tty" },
  { name: "a terminal and KILN_DEBUG", env: { KILN_DEBUG: "cache" }, isTTY: true, flag: undefined, mode: "plain" },
  { name: "a pipe", env: { TERM: "xterm" }, isTTY: false, flag: undefined, mode: "plain" },
  { name: "an empty flag", env: { BUILDKIT_PROGRESS: "rawjson" }, isTTY: false, flag: "", mode: "rawjson" },
  { name: "an empty variable", env: { BUILDKIT_PROGRESS: "" }, isTTY: false, flag: undefined, mode: "plain" },
])("$name: $mode", ({ env, isTTY, flag, mode }) => {
  expect(progressMode(flag, false, hostWith(env, { isTTY }))).toBe(mode);
});

test("a terminal of unknown size is taken for one of 80 columns", () => {
  const written: string[] = [];
  const write = (text: string | Uint8Array): boolean => written.push(String(text)) > 0;
  const host = hostWith({ NO_COLOR: "1" }, { columns: 0, rows: 0, isTTY: true, write });
  const display = openProgress("tty", host, "Pulling");
  display.sink({ kind: "step-started", id: "1", name: "[1/1] COPY a b", atMs: 0 });
  display.sink({ kind: "step-done", id: "1", atMs: 0 });
  display.finish("success");
  expect(written.join("")).toContain("=> [1/1] COPY a b");
  expect(written.join("")).toContain("[+] Pulling 0.0s");
});
