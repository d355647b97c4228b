import { type Digest, isDigest } from "./digest.ts";
import { BuildError } from "./errors.ts";

/** A parsed and normalised image name: `alpine` is `docker.io/library/alpine:latest`. distribution/reference grammar. */
export interface ImageRef {
  /** `docker.io`, `localhost:5000`. */
  readonly registry: string;
  /** `library/alpine`. */
  readonly repository: string;
  /** Absent only when a digest is given without a tag. */
  readonly tag: string | undefined;
  readonly digest: Digest | undefined;
}

const DEFAULT_REGISTRY = "docker.io";
const COMPONENT = "[a-z0-9]+(?:(?:[._]|__|[-]+)[a-z0-9]+)*";
const REPOSITORY = new RegExp(`^${COMPONENT}(?:/${COMPONENT})*$`);
const HOST =
  /^(?:[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?(?:\.[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?)*|\[[0-9a-fA-F:]+\])(?::\d+)?$/;
/**
 * Maximum length of a repository, with `library/` and without the registry: the limit of registries.
 * distribution/reference.
 */
const MAX_REPOSITORY = 255;
const TAG = /^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$/;

const TAG_HINT = "a tag has up to 128 letters, digits, dots, dashes and underscores, and begins with none of . and -";
const REPOSITORY_HINT =
  "it has lower-case letters and digits, single dots, dashes or underscores between them, and slashes: registry.example/team/app";

/**
 * Parses an image name.
 * @throws {BuildError} `reference/malformed`
 */
export function parseReference(text: string): ImageRef {
  const bad = (why: string, hint?: string): BuildError =>
    new BuildError("reference/malformed", `Cannot use ${JSON.stringify(shortened(text))} as an image name: ${why}`, {
      hint,
    });
  if (text === "") throw bad("it is empty");
  const at = text.indexOf("@");
  const name = at === -1 ? text : text.slice(0, at);
  let digest: Digest | undefined;
  if (at !== -1) {
    const digestText = text.slice(at + 1);
    if (!isDigest(digestText)) throw bad(`${JSON.stringify(digestText)} is not a sha256 digest`);
    digest = digestText;
  }
  const slash = name.indexOf("/");
  const first = slash === -1 ? "" : name.slice(0, slash);
  const hasRegistry =
    first !== "" &&
    (first.includes(".") || first.includes(":") || first === "localhost" || first !== first.toLowerCase());
  const registry = hasRegistry ? first : DEFAULT_REGISTRY;
  const rest = hasRegistry ? name.slice(slash + 1) : name;
  const colon = rest.indexOf(":");
  const path = colon === -1 ? rest : rest.slice(0, colon);
  const tagText = colon === -1 ? undefined : rest.slice(colon + 1);
  if (!HOST.test(registry)) throw bad(`${JSON.stringify(registry)} is not a registry host`);
  if (tagText !== undefined && !TAG.test(tagText)) {
    const hint =
      tagText === "" ? `leave the colon out, or write a tag behind it: ${JSON.stringify(`${name}latest`)}` : TAG_HINT;
    throw bad(tagText === "" ? "its tag is empty" : `${JSON.stringify(tagText)} is not a tag`, hint);
  }
  if (!REPOSITORY.test(path)) {
    if (REPOSITORY.test(path.toLowerCase())) {
      throw bad("repository names are lower-case", `write ${JSON.stringify(text.replace(path, path.toLowerCase()))}`);
    }
    throw bad(`${JSON.stringify(path)} is not a repository name`, REPOSITORY_HINT);
  }
  const isHub = registry === DEFAULT_REGISTRY || registry === "index.docker.io";
  const repository = isHub && !path.includes("/") ? `library/${path}` : path;
  if (repository.length > MAX_REPOSITORY) throw bad(`its repository is longer than ${MAX_REPOSITORY} characters`);
  return {
    registry: isHub ? DEFAULT_REGISTRY : registry,
    repository,
    tag: tagText ?? (digest === undefined ? "latest" : undefined),
    digest,
  };
}

/** Writes the full form, `docker.io/library/alpine:latest`. The store keys refs by it. */
export function formatReference(ref: ImageRef): string {
  const tag = ref.tag === undefined ? "" : `:${ref.tag}`;
  const digest = ref.digest === undefined ? "" : `@${ref.digest}`;
  return `${ref.registry}/${ref.repository}${tag}${digest}`;
}

/** Writes the short form that people type: without the default registry, `library/` and, when asked, `:latest`. */
export function familiarReference(ref: ImageRef, latest: "shown" | "hidden" = "shown"): string {
  const name =
    ref.registry === DEFAULT_REGISTRY ? ref.repository.replace(/^library\//, "") : `${ref.registry}/${ref.repository}`;
  const tag = ref.tag === undefined || (latest === "hidden" && ref.tag === "latest") ? "" : `:${ref.tag}`;
  return `${name}${tag}${ref.digest === undefined ? "" : `@${ref.digest}`}`;
}

/** Shortens an over-long name to its beginning. */
function shortened(text: string): string {
  return text.length > 300 ? `${text.slice(0, 100)}...` : text;
}
