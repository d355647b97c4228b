import type { ChildProcess } from "node:child_process";
import { Socket } from "node:net";

/** The descriptor 3 of a process of kiln-runtime: plans go in, and frames come out. */
export function controlOf(child: ChildProcess): Socket {
  const control = child.stdio[3];
  if (!(control instanceof Socket)) throw new Error("The runtime was started without its descriptor");
  return control;
}
