import type { Host } from "../host.ts";
import { findSettings, type SettingsFile } from "./find.ts";
import type { FileValue } from "./read.ts";

/** Commands that do without settings, so that a mistake in a file cannot keep them from answering. */
const WITHOUT_SETTINGS: ReadonlySet<string> = new Set([
  "completion",
  "config",
  "explain",
  "help",
  "version",
  "worker-run",
]);

/**
 * Gives a command the settings of its files, as variables that are not set. Without a file this is the host itself.
 * @throws {BuildError} `cli/settings`
 */
export async function withSettings(host: Host, command: string | undefined): Promise<Host> {
  if (command === undefined || WITHOUT_SETTINGS.has(command)) return host;
  const files = findSettings(host);
  if (files.length === 0) return host;
  const values = await valuesOf(files, host.homeDirectory);
  const env: Record<string, string | undefined> = { ...host.env };
  for (const [variable, { text }] of values) if ((env[variable] ?? "") === "") env[variable] = text;
  // The host's streams are getters, and opening one has effects: they stay where they are.
  return new Proxy(host, { get: (own, name): unknown => (name === "env" ? env : Reflect.get(own, name)) });
}

/** The values of files by their variables: of each setting the strongest file's. */
export async function valuesOf(
  files: readonly SettingsFile[],
  homeDirectory: string,
): Promise<ReadonlyMap<string, FileValue>> {
  const { readSettings } = await import("./read.ts");
  const values = files.toReversed().flatMap((file) => readSettings(file, homeDirectory));
  return new Map(values.map((value) => [value.setting.variable, value]));
}
