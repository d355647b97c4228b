import { isRecord, parseJson } from "../../lib/core/json.ts";
import type { MissReason, PartChange } from "./explain.ts";
import { ISOLATION } from "./key.ts";

/** Writes the reason in one line, without the step's name: `src/a.ts (content), run.sh (mode 0664 -> 0644)`. */
export function missText(reason: MissReason): string {
  switch (reason.kind) {
    case "no-cache":
      return "--no-cache";
    case "never-built":
      return "never built here";
    case "pruned":
      return "cache was pruned";
    case "changed":
      return reason.changes.length === 0 ? "an earlier step ran again" : reason.changes.map(changeText).join(", ");
    default:
      return reason satisfies never;
  }
}

function changeText(change: PartChange): string {
  switch (change.kind) {
    case "value":
      return valueText(change);
    case "text":
      return `${change.from === "" ? "" : `${quoted(change.from)} `}-> ${change.to === "" ? "(nothing)" : quoted(change.to)}`;
    case "order":
      return `order of the ${change.what} changed`;
    case "files": {
      // A file that is mounted or copied alone is named by its path in the image.
      const own = change.name.replace(/^files in /, "");
      const shown = change.files.map(({ path, what }) => `${path === "" ? own : path} (${what.join(", ")})`);
      const more = change.total - change.files.length;
      if (shown.length === 0) return `${change.name} changed`;
      return more > 0 ? `${shown.join(", ")} and ${more} more` : shown.join(", ");
    }
    case "base":
      if (change.was === undefined) return `directly on FROM ${asTyped(change.ref)} now`;
      return change.was === change.ref
        ? `FROM ${asTyped(change.ref)}: digest moved`
        : `FROM ${asTyped(change.was)} -> ${asTyped(change.ref)}`;
    case "source":
      return sourceText(change);
    case "input":
      return `after ${change.step}`;
    default:
      return change satisfies never;
  }
}

function quoted(text: string): string {
  return JSON.stringify(text);
}

const SOURCES: Readonly<Record<string, string>> = {
  local: "a local directory",
  image: "an image",
  git: "a git repository",
  http: "a URL",
  stage: "a stage",
};

function sourceText({ was, now }: Extract<PartChange, { readonly kind: "source" }>): string {
  const name = (kind: string): string => SOURCES[kind] ?? kind;
  if (was.kind !== now.kind) return `copied from ${name(now.kind)}, and before from ${name(was.kind)}`;
  const shown = (text: string): string => (/^[0-9a-f]{40,64}$/.test(text) ? text.slice(0, 12) : asTyped(text));
  switch (now.kind) {
    case "git":
      return `git repository moved: ${shown(was.state)} -> ${shown(now.state)}`;
    case "image":
      return was.state === now.state
        ? `image ${shown(now.state)}: digest moved`
        : `image ${shown(was.state)} -> ${shown(now.state)}`;
    default:
      return `${name(now.kind)} changed`;
  }
}

function valueText({ name, from, to }: Extract<PartChange, { readonly kind: "value" }>): string {
  if (name === ISOLATION) return `isolation ${from ?? "whole"} -> ${to ?? "whole"}`;
  if (WITH_VALUES.has(name)) return `${flagOf(name)} ${from ?? "(not set)"} -> ${to ?? "(not set)"}`;
  const [, action] = /^(copy|mkdir|mkfile|rm) \d+$/.exec(name) ?? [];
  const shown = action === undefined ? flagOf(name) : actionText(action, from, to);
  if (from === undefined) return `${shown} added`;
  if (to === undefined) return `${shown} removed`;
  return `${shown} changed`;
}

/** Parts with short words as values. */
const WITH_VALUES: ReadonlySet<string> = new Set(["platform", "network", "security"]);

/** Names a part of a command or source as the Dockerfile does. Variables, WORKDIR and USER keep their own names. */
function flagOf(part: string): string {
  if (part.startsWith("ulimit ")) return `--ulimit ${part.slice("ulimit ".length)}`;
  if (part.startsWith("mount ")) return `mount of ${part.slice("mount ".length)}`;
  return FLAGS[part] ?? part;
}

const FLAGS: Readonly<Record<string, string>> = {
  kind: "what the step starts from",
  command: "command",
  network: "--network",
  security: "--security",
  hostname: "hostname",
  "shm size": "--shm-size",
  "cgroup parent": "--cgroup-parent",
  "extra hosts": "--add-host",
  // For URLs.
  "file name": "name of the file",
  mode: "--chmod",
  owner: "--chown",
  content: "what the URL holds",
  modified: "date of the file",
  // For repositories.
  subdir: "folder of the repository",
  submodules: "whether submodules are taken",
  mtime: "times of the files",
  ".git": "branch or tag",
};

/** Names the difference in an action of a file operation. Its value is JSON or, when long, the digest of that. */
function actionText(action: string, before: string | undefined, after: string | undefined): string {
  const [was, now] = [before, after].map((text) => (text === undefined ? undefined : parsed(text)));
  if (was === undefined || now === undefined) return WHOLE[action] ?? action;
  const names = [...new Set([...Object.keys(was), ...Object.keys(now)])]
    .filter((name) => JSON.stringify(was[name]) !== JSON.stringify(now[name]))
    .map((name) => FIELDS[name] ?? name);
  return names.length === 0 ? (WHOLE[action] ?? action) : [...new Set(names)].join(" and ");
}

function parsed(text: string): Readonly<Record<string, unknown>> | undefined {
  const json = parseJson(text);
  return isRecord(json) ? json : undefined;
}

const WHOLE: Readonly<Record<string, string>> = {
  copy: "destination or flags",
  mkdir: "path, owner or mode of the directory",
  mkfile: "text, owner or mode of the file",
  rm: "what is removed",
};

const FIELDS: Readonly<Record<string, string>> = {
  destination: "destination",
  base: "name of the source",
  wildcard: "name of the source",
  owner: "owner",
  mode: "mode",
  excludes: "--exclude",
  parents: "--parents",
  unpack: "--unpack",
  keepOwner: "kind of the source",
  link: "--link",
  timestamp: "SOURCE_DATE_EPOCH",
  path: "path",
  text: "text",
  missing: "what is removed",
  kind: "kind of the instruction",
};

/** Shortens a reference to the form that people type. */
function asTyped(ref: string): string {
  return ref.replace(/^docker\.io\/(?:library\/)?/, "").replace(/:latest$/, "");
}
