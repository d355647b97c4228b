import { BuildError } from "../../../lib/core/errors.ts";
import { type ImageRef, familiarReference, formatReference } from "../../../lib/core/reference.ts";
import { didYouMean } from "../../../lib/core/suggest.ts";
import { createdMs } from "./created.ts";
import type { ImageSummary, Store } from "../../../lib/store/store.ts";

/** One line of `kiln images`: an image under one of its names, or under none. */
export interface NamedImage {
  readonly image: ImageSummary;
  readonly name: ImageRef | undefined;
}

type Filter = (one: NamedImage) => boolean;

const FILTERS: Readonly<Record<string, (value: string, store: Store) => Filter | Promise<Filter>>> = {
  reference: (pattern) => matchesName(pattern),
  dangling: (value) => {
    const wanted = readBoolean(value);
    return ({ name }) => (name === undefined) === wanted;
  },
  label: (label, store) => hasLabel(label, store),
  before: (text, store) => comparedWith(text, store, (time, other) => time < other),
  since: (text, store) => comparedWith(text, store, (time, other) => time > other),
};

/**
 * Makes the filter of `kiln images PATTERN --filter key=value...`. Filters of one key are alternatives, different keys
 * are conditions: docker's rule.
 * @throws {BuildError} `cli/usage`, `image/not-found`
 */
export async function imageFilter(
  pattern: string | undefined,
  filters: readonly string[],
  store: Store,
): Promise<{ readonly passes: Filter; readonly isAboutUnnamed: boolean }> {
  const byKey = new Map<string, Filter[]>();
  for (const text of filters) {
    const equals = text.indexOf("=");
    const key = text.slice(0, Math.max(0, equals));
    const make = Object.hasOwn(FILTERS, key) ? FILTERS[key] : undefined;
    if (make === undefined) {
      throw new BuildError(
        "cli/usage",
        `Cannot use --filter ${JSON.stringify(text)}${didYouMean(key, Object.keys(FILTERS))}`,
        { hint: `write key=value; keys: ${Object.keys(FILTERS).join(", ")}` },
      );
    }
    byKey.set(key, [...(byKey.get(key) ?? []), await make(text.slice(equals + 1), store)]);
  }
  if (pattern !== undefined) byKey.set("pattern", [await matchesName(pattern)]);
  return {
    passes: (one) => [...byKey.values()].every((alternatives) => alternatives.some((filter) => filter(one))),
    isAboutUnnamed: byKey.has("dangling"),
  };
}

/**
 * Matches `app`, `app:1`, `localhost:5000/*`, `*:latest`: short or full names, with or without the tag; `*` stays
 * within a part.
 */
async function matchesName(pattern: string): Promise<Filter> {
  const { Minimatch } = await import("minimatch");
  const matcher = new Minimatch(pattern, { nonegate: true, nocomment: true, dot: true });
  return ({ name }) => {
    if (name === undefined) return false;
    const untagged = { ...name, tag: undefined, digest: undefined };
    return [name, untagged]
      .flatMap((one) => [familiarReference(one), formatReference(one)])
      .some((text) => matcher.match(text));
  };
}

/** Matches `key` or `key=value` on any platform. */
function hasLabel(label: string, store: Store): Filter {
  const equals = label.indexOf("=");
  const key = equals === -1 ? label : label.slice(0, equals);
  const value = equals === -1 ? undefined : label.slice(equals + 1);
  return ({ image }) =>
    [image.digest, ...image.manifests].some((digest) => {
      const labels = store.images.get(digest)?.config.config.Labels ?? {};
      return Object.hasOwn(labels, key) && (value === undefined || labels[key] === value);
    });
}

function comparedWith(text: string, store: Store, compare: (timeMs: number, otherMs: number) => boolean): Filter {
  const found = store.images.find(text);
  const digest = found.kind === "image" ? found.image.manifestDigest : found.digest;
  const other = store.images.list().find((image) => image.digest === digest);
  const otherMs = other === undefined ? undefined : createdMs(other, store);
  return ({ image }) => {
    const timeMs = createdMs(image, store);
    return timeMs !== undefined && otherMs !== undefined && compare(timeMs, otherMs);
  };
}

function readBoolean(text: string): boolean {
  if (/^(1|t|true)$/i.test(text)) return true;
  if (/^(0|f|false)$/i.test(text)) return false;
  throw new BuildError("cli/usage", `Cannot use --filter "dangling=${text}": it is true or false`);
}
