import { BuildError } from "../../lib/core/errors.ts";
import { didYouMean } from "../../lib/core/suggest.ts";
import { commandIndex } from "./words.ts";

const CACHE_ONLY = ["--filter=type=step", "--filter=type=layer", "--filter=type=blob", "--filter=type=cache-mount"];

/** docker's commands of two words, and kiln's words for them. */
export const SPELLINGS: Readonly<Record<string, Readonly<Record<string, readonly string[]>>>> = {
  image: {
    build: ["build"],
    history: ["history"],
    import: ["import"],
    inspect: ["inspect"],
    list: ["images"],
    load: ["load"],
    ls: ["images"],
    prune: ["prune", "--filter=type=image"],
    pull: ["pull"],
    push: ["push"],
    remove: ["rmi"],
    rm: ["rmi"],
    save: ["save"],
    tag: ["tag"],
  },
  builder: { build: ["build"], du: ["du"], prune: ["prune", ...CACHE_ONLY] },
  buildx: {
    b: ["build"],
    bake: ["bake"],
    build: ["build"],
    du: ["du"],
    f: ["bake"],
    prune: ["prune", ...CACHE_ONLY],
    version: ["version"],
  },
  builds: {
    export: ["builds-export"],
    inspect: ["builds-show"],
    list: ["builds-ls"],
    logs: ["builds-logs"],
    ls: ["builds-ls"],
    open: ["builds-open"],
    remove: ["builds-rm"],
    rm: ["builds-rm"],
    show: ["builds-show"],
    trace: ["builds-trace"],
  },
  compose: { build: ["compose-build"] },
  imagetools: { create: ["imagetools-create"], inspect: ["imagetools-inspect"] },
  manifest: {
    annotate: ["manifest-annotate"],
    create: ["manifest-create"],
    inspect: ["manifest-inspect"],
    push: ["manifest-push"],
    rm: ["manifest-rm"],
  },
  registry: { check: ["registry-check"] },
  system: { df: ["df"], info: ["info"], prune: ["prune"], reset: ["system-reset"] },
};

/** Replaces docker's spelling of a command by kiln's; other command lines stay as they are. */
export function kilnWords(given: readonly string[]): readonly string[] {
  const place = commandIndex(given);
  const argv = withoutDepth(composeFirst(given, place), place);
  const word = argv[place + 1];
  const commands = commandsOf(argv[place]);
  // The group's help is kiln's.
  if (word === "--help" && Object.keys(commands).length > 0) return ["--help"];
  const known = word !== undefined && Object.hasOwn(commands, word) ? commands[word] : undefined;
  return known === undefined ? argv : [...argv.slice(0, place), ...known, ...argv.slice(place + 2)];
}

/** Flags of docker compose itself with a value of their own: they may stand before its command. */
const COMPOSE_VALUES = /^(?:-f|-p|--(?:file|project-name|project-directory|env-file|profile|progress|ansi|parallel))$/;

/** Moves the flags of compose behind its command: `compose -f x.yaml build`. */
function composeFirst(given: readonly string[], place: number): readonly string[] {
  if (given[place] !== "compose") return given;
  let index = place + 1;
  while (given[index]?.startsWith("-") === true) index += COMPOSE_VALUES.test(given[index] ?? "") ? 2 : 1;
  const command = given[index];
  if (index === place + 1 || command === undefined) return given;
  return [...given.slice(0, place + 1), command, ...given.slice(place + 1, index), ...given.slice(index + 1)];
}

/** Replaces three words by two: `buildx imagetools inspect`, `buildx history ls`, `history builds ls`. */
function withoutDepth(given: readonly string[], place: number): readonly string[] {
  const [first, second, third] = given.slice(place, place + 3);
  if (first === "buildx" && second === "imagetools") return given.toSpliced(place, 1);
  const isHistory =
    (first === "buildx" && second === "history") ||
    // An image may be called "builds".
    (first === "history" && second === "builds" && third !== undefined && Object.hasOwn(commandsOf("builds"), third));
  return isHistory ? given.toSpliced(place, 2, "builds") : given;
}

/**
 * Refuses a group without one of its commands.
 * @throws {BuildError} `cli/usage`
 */
export function refuseGroup(argv: readonly string[]): void {
  const place = commandIndex(argv);
  const group = argv[place];
  const names = Object.keys(commandsOf(group));
  if (group === undefined || names.length === 0) return;
  const word = argv[place + 1];
  const isUnknown = word !== undefined && !word.startsWith("-");
  const what = isUnknown ? `${group} ${word}` : group;
  const noBuilders = group === "buildx" ? "; there are no builders to manage" : "";
  throw new BuildError("cli/usage", `Unknown command kiln ${what}${isUnknown ? didYouMean(word, names) : ""}`, {
    hint: `there are ${names.map((name) => `kiln ${group} ${name}`).join(", ")}${noBuilders}`,
  });
}

function commandsOf(group: string | undefined): Readonly<Record<string, readonly string[]>> {
  return (group !== undefined && Object.hasOwn(SPELLINGS, group) ? SPELLINGS[group] : undefined) ?? {};
}
