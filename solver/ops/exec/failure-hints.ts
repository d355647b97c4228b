import type { ExecOp } from "../../graph/op.ts";

/** Messages of shells and of kiln's runtime for a file that the kernel does not take for a program. */
const WRONG_FORMAT = /exec format error|cannot execute binary file/i;

/** Hints from the last lines of a command that failed: its status alone says little. */
export function failureHints(op: Pick<ExecOp, "argv">, tail: string): string[] {
  const [program = "", flag] = op.argv;
  if (flag === "-c" && tail.endsWith(`exec: ${JSON.stringify(program)}: No such file or directory`)) {
    return [`the image has no ${program}: RUN ["program", "argument"] needs none, and SHELL names one that it has`];
  }
  // The runtime has looked into the file, and says more than could be said here.
  const isExplained = tail.includes("--platform=$BUILDPLATFORM") || tail.includes('"#!/bin/sh"');
  if (!WRONG_FORMAT.test(tail) || isExplained) return [];
  return [
    "it may be a program for another platform than this machine's: install qemu-user-static and binfmt-support here, or take an image for this one (--platform)",
  ];
}
