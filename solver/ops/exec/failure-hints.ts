import type { ExecOp } from "../../graph/op.ts";

/** Messages of shells and of kiln's runtime for a file that the kernel cannot execute. */
const WRONG_FORMAT = /exec format error|cannot execute binary file/i;

/** Derives hints from the last lines of a failed command: its status alone tells little. */
export function failureHints(op: Pick<ExecOp, "argv">, tail: string): string[] {
  const [program = "", flag] = op.argv;
  if (flag === "-c" && tail.endsWith(`exec: ${JSON.stringify(program)}: Permission denied`)) {
    return [`${program} may not be run: "kiln doctor" says whether the store's disk is mounted noexec`];
  }
  if (flag === "-c" && tail.endsWith(`exec: ${JSON.stringify(program)}: No such file or directory`)) {
    return [`the image has no ${program}: RUN ["program", "argument"] needs none, and SHELL names one that it has`];
  }
  // The runtime has inspected the file, and its message is more precise.
  const isExplained = tail.includes("--platform=$BUILDPLATFORM") || tail.includes('"#!/bin/sh"');
  if (!WRONG_FORMAT.test(tail) || isExplained) return [];
  return [
    "it may be a program for another platform than this machine's: install qemu-user-static and binfmt-support here, or take an image for this one (--platform)",
  ];
}
