import type { ObjectPlace } from "./object-store.ts";

/** Tells whether there is a cache service at all: outside of a workflow there is none. */
export function isInWorkflow({ attributes }: ObjectPlace, env: Readonly<Record<string, string | undefined>>): boolean {
  return (attributes["token"] ?? env["ACTIONS_RUNTIME_TOKEN"] ?? "") !== "";
}
