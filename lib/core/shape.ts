import { type Digest, isDigest } from "./digest.ts";
import type { BuildError } from "./errors.ts";
import { isRecord, parseJson } from "./json.ts";

/**
 * A type of persisted values, as something that can look at a value: JSON from a database, a file or a registry has only the
 * type that is found in it. Checks and never copies, so members that a shape does not name stay.
 */
export interface Shape<T> {
  /** Finds what is wrong; `undefined` when the value is of this shape. */
  readonly fault: (value: unknown) => Fault | undefined;
  readonly fits: (value: unknown) => value is T;
}

/** The problem of a value. */
interface Fault {
  /** Path of the wrong member: `parts[2].name`; empty for the value itself. */
  readonly place: string;
  /** Name of the expected type, `a list`. */
  readonly expected: string;
}

/** The value as what it is. @throws what `bad` makes of the reason, as in `parts[2].name is not a text` */
export function readAs<T>(shape: Shape<T>, value: unknown, bad: (why: string) => BuildError): T {
  if (shape.fits(value)) return value;
  const { place = "", expected = "" } = shape.fault(value) ?? {};
  throw bad(`${place === "" ? "it" : place} is not ${expected}`);
}

/** The same for text that holds JSON. */
export function readJsonAs<T>(shape: Shape<T>, json: string, bad: (why: string) => BuildError): T {
  const value = parseJson(json);
  if (value === undefined) throw bad("it is not JSON");
  return readAs(shape, value, bad);
}

/** The value that bytes of JSON hold, for what is only remembered: `undefined` when it is damaged, as if it was not there. */
export function recallAs<T>(shape: Shape<T>, bytes: Uint8Array): T | undefined {
  const value = parseJson(new TextDecoder().decode(bytes));
  return shape.fits(value) ? value : undefined;
}

function shapeOf<T>(fault: (value: unknown) => Fault | undefined): Shape<T> {
  return { fault, fits: (value): value is T => fault(value) === undefined };
}

/** A value that a test of its own recognises. */
export function such<T>(expected: string, isProper: (value: unknown) => value is T): Shape<T> {
  return shapeOf((value) => (isProper(value) ? undefined : { place: "", expected }));
}

export const TEXT: Shape<string> = such("a text", (value): value is string => typeof value === "string");
export const NUMBER: Shape<number> = such("a number", (value): value is number => typeof value === "number");
export const FLAG: Shape<boolean> = such("true or false", (value): value is boolean => typeof value === "boolean");
export const DIGEST: Shape<Digest> = such(
  "a sha256 digest",
  (value): value is Digest => typeof value === "string" && isDigest(value),
);

/** One of a few texts or numbers. */
export function oneOf<const T extends string | number>(...names: readonly T[]): Shape<T> {
  const known: ReadonlySet<unknown> = new Set(names);
  return such(`one of ${names.join(", ")}`, (value): value is T => known.has(value));
}

/** A member that may be missing. */
export function optional<T>(shape: Shape<T>): Shape<T | undefined> {
  return shapeOf((value) => (value === undefined ? undefined : shape.fault(value)));
}

export function nullable<T>(shape: Shape<T>): Shape<T | null> {
  return shapeOf((value) => (value === null ? undefined : shape.fault(value)));
}

export function list<T>(item: Shape<T>): Shape<readonly T[]> {
  return shapeOf((value) => {
    if (!Array.isArray(value)) return { place: "", expected: "a list" };
    for (let index = 0; index < value.length; index += 1) {
      const fault = item.fault(value[index]);
      if (fault !== undefined) return below(`[${index}]`, fault);
    }
    return undefined;
  });
}

/** Makes the shape of an object with arbitrary member names. */
export function mapOf<T>(member: Shape<T>): Shape<Readonly<Record<string, T>>> {
  return shapeOf((value) => {
    if (!isRecord(value)) return { place: "", expected: "an object" };
    for (const [name, found] of Object.entries(value)) {
      const fault = member.fault(found);
      if (fault !== undefined) return below(`.${name}`, fault);
    }
    return undefined;
  });
}

/** An object with these members. The type names them all, so a new member does not compile until it is read. */
export function object<T extends object>(members: Shapes<T>): Shape<T> {
  const named: readonly (readonly [string, Shape<unknown>])[] = Object.entries(members);
  return shapeOf((value) => {
    if (!isRecord(value)) return { place: "", expected: "an object" };
    for (const [name, member] of named) {
      const fault = member.fault(Object.hasOwn(value, name) ? value[name] : undefined);
      if (fault !== undefined) return below(`.${name}`, fault);
    }
    return undefined;
  });
}

export type Shapes<T> = { readonly [Name in keyof T]-?: Shape<T[Name]> };

/** One of several kinds of objects, which the text in one member tells apart. */
export function tagged<T extends object, Tag extends keyof T & string>(
  tag: Tag,
  kinds: { readonly [Kind in T[Tag] & string]: Shape<Extract<T, Readonly<Record<Tag, Kind>>>> },
): Shape<T> {
  const known = new Map<unknown, Shape<unknown>>(Object.entries<Shape<unknown>>(kinds));
  const expected = `one of ${[...known.keys()].join(", ")}`;
  return shapeOf((value) => {
    if (!isRecord(value)) return { place: "", expected: "an object" };
    const kind = known.get(value[tag]);
    return kind === undefined ? { place: tag, expected } : kind.fault(value);
  });
}

function below(step: string, { place, expected }: Fault): Fault {
  const inside = place === "" || place.startsWith("[") || place.startsWith(".") ? place : `.${place}`;
  return { place: step.startsWith(".") ? `${step.slice(1)}${inside}` : `${step}${inside}`, expected };
}
