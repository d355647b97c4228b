import { expect, test } from "vitest";
import { failureHints } from "./failure-hints.ts";

const SHELL = ["/bin/sh", "-c", "make"];

test.each([
  {
    name: "a shell's own word",
    argv: SHELL,
    tail: "make\n/bin/sh: ./tool: Exec format error",
    hint: /qemu-user-static/,
  },
  {
    name: "bash's",
    argv: SHELL,
    tail: "bash: ./tool: cannot execute binary file: Exec format error",
    hint: /qemu-user-static/,
  },
  { name: "Go's", argv: SHELL, tail: "fork/exec /tool: exec format error", hint: /qemu-user-static/ },
  {
    name: "an image without a shell",
    argv: SHELL,
    tail: 'exec: "/bin/sh": No such file or directory',
    hint: /the image has no \/bin\/sh: RUN \["program"/,
  },
])("$name has a hint", ({ argv, tail, hint }) => {
  expect(failureHints({ argv }, tail)).toEqual([expect.stringMatching(hint)]);
});

test.each([
  { name: "a program's own failure", argv: SHELL, tail: "make: *** [all] Error 2" },
  { name: "a program that is not there", argv: ["/tool", "x"], tail: 'exec: "/tool": No such file or directory' },
  {
    name: "what the runtime has explained",
    argv: SHELL,
    tail: 'exec: "/bin/sh": Exec format error: it is a program for linux/arm64 [...] with --platform=$BUILDPLATFORM',
  },
])("$name has none", ({ argv, tail }) => {
  expect(failureHints({ argv }, tail)).toEqual([]);
});
