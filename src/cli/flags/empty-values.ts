import { BuildError } from "../../../lib/core/errors.ts";

/**
 * The meaning of a flag's empty value. `absent`: as if the flag was not given; docker does so, and scripts with empty
 * variables rely on it. `meant`: the empty text is the value. `refused`: no sensible meaning exists.
 */
export type EmptyMeaning = "absent" | "meant" | "refused";

/**
 * Flags with an allowed empty value. All others refuse it, so that a new flag cannot take an empty text for a path or a
 * name.
 */
const MEANINGS: Readonly<Record<string, Readonly<Partial<Record<EmptyMeaning, readonly string[]>>>>> = {
  build: {
    absent: [
      ...["add-host", "allow", "annotation", "build-context", "builder", "cache-from", "cache-to", "call"],
      ...["cgroup-parent", "file", "iidfile", "isolation", "metadata-file", "network", "no-cache-filter", "output"],
      ...["print", "progress", "provenance", "sbom", "secret", "security-opt", "shm-size", "ssh", "target"],
    ],
  },
  run: { absent: ["hostname", "network", "platform", "shm-size", "user", "workdir"], meant: ["entrypoint"] },
  shell: { absent: ["secret", "ssh"] },
  pull: { absent: ["platform", "progress"] },
  push: { absent: ["platform", "progress"] },
  save: { absent: ["platform"] },
  import: { absent: ["platform"], meant: ["message"] },
  inspect: { absent: ["platform"] },
  history: { absent: ["platform", "format"] },
  images: { absent: ["format"] },
  du: { absent: ["format"] },
};

/**
 * Returns the meaning of a flag's empty value.
 * @param long the flag with its dashes
 */
export function emptyValue(command: string, long: string): EmptyMeaning {
  const name = long.slice(2);
  const meanings = MEANINGS[command];
  if (meanings?.absent?.includes(name) === true) return "absent";
  return meanings?.meant?.includes(name) === true ? "meant" : "refused";
}

/**
 * Refuses a meaningless empty value.
 * @throws {BuildError} `cli/usage`
 */
export function checkEmpty(meaning: EmptyMeaning, long: string): void {
  if (meaning !== "refused") return;
  throw new BuildError("cli/usage", `Cannot use ${long} "": it is empty`, {
    hint: "is a variable of your script not set? Leave the flag out if there is nothing to say",
  });
}
