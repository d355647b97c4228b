import { BuildError } from "../core/errors.ts";

/*
 * The wire format of protocol buffers, as far as the messages of `protocol.ts` need it: numbers, truth values, texts, bytes,
 * messages, and lists of them. A message is declared once, as a table of its fields, and its TypeScript type follows from
 * that. A field without a value is the default of its kind (proto3), so a message that was read has all its fields.
 */

/** The kinds of encodings of the format. Groups are history. */
type WireType = 0 | 1 | 2 | 5;

/** The encoding of one kind of value. */
interface Kind<T> {
  readonly wire: WireType;
  readonly zero: T;
  readonly isZero: (value: T) => boolean;
  readonly write: (out: Writer, value: T) => void;
  readonly read: (input: Reader) => T;
}

/** One field of a message. */
export interface Field<T> {
  readonly number: number;
  /** The value of a message without the field. */
  readonly zero: T;
  write(out: Writer, value: T): void;
  /** Begins to read the field of one message. */
  collect(): Collected<T>;
}

/** The occurrences of a field in a message, and what they mean together. */
interface Collected<T> {
  add(input: Reader, wire: number): void;
  value(): T;
}

export type FieldsOf<M> = { readonly [Name in keyof M]: Field<M[Name]> };

/** A declared message. */
export interface MessageType<M> {
  /** Encodes a message; fields that are left out have their defaults. */
  encode(message: Partial<M>): Buffer;
  /** @throws {BuildError} `remote/failed` for bytes that are no such message */
  decode(bytes: Uint8Array): M;
  /** Makes a message of some of its fields. */
  of(message: Partial<M>): M;
}

/** The message that a declaration describes. */
export type Message<T> = T extends MessageType<infer M> ? M : never;

/** Makes the error for bytes that are not what their sender says: nothing in them can be used. */
function malformed(why: string): BuildError {
  return new BuildError("remote/failed", `Cannot read a message of the cluster: ${why}`, {
    hint: "the server speaks another protocol, or is not to be trusted",
  });
}

class Writer {
  readonly #parts: Uint8Array[] = [];

  varint(value: number): void {
    // Negative numbers take ten bytes, as in every implementation.
    let rest = value < 0 ? BigInt.asUintN(64, BigInt(value)) : BigInt(value);
    const bytes: number[] = [];
    for (; rest > 0x7fn; rest >>= 7n) bytes.push(Number(rest & 0x7fn) | 0x80);
    bytes.push(Number(rest));
    this.#parts.push(Uint8Array.from(bytes));
  }

  tag(number: number, wire: WireType): void {
    this.varint(number * 8 + wire);
  }

  /** Writes bytes with their length before them. */
  block(bytes: Uint8Array): void {
    this.varint(bytes.byteLength);
    this.#parts.push(bytes);
  }

  result(): Buffer {
    return Buffer.concat(this.#parts);
  }
}

class Reader {
  readonly #bytes: Uint8Array;
  #offset = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  get isAtEnd(): boolean {
    return this.#offset >= this.#bytes.byteLength;
  }

  varint(): number {
    let value = 0n;
    for (let shift = 0n; shift < 70n; shift += 7n) {
      const byte = this.#bytes[this.#offset];
      if (byte === undefined) throw malformed("a message ends within a number");
      this.#offset += 1;
      value |= BigInt(byte & 0x7f) << shift;
      if (byte < 0x80) {
        const signed = Number(BigInt.asIntN(64, value));
        if (!Number.isSafeInteger(signed)) throw malformed("a number of a message is too large");
        return signed;
      }
    }
    throw malformed("a number of a message has no end");
  }

  block(): Uint8Array {
    return this.#take(this.varint());
  }

  skip(wire: number): void {
    if (wire === 0) this.varint();
    else if (wire === 1) this.#take(8);
    else if (wire === 2) this.block();
    else if (wire === 5) this.#take(4);
    else throw malformed("a field of a message has an unknown form");
  }

  #take(length: number): Uint8Array {
    const end = this.#offset + length;
    if (length < 0 || end > this.#bytes.byteLength) throw malformed("a message ends within a field");
    const taken = this.#bytes.subarray(this.#offset, end);
    this.#offset = end;
    return taken;
  }
}

const NUMBER_KIND: Kind<number> = {
  wire: 0,
  zero: 0,
  isZero: (value) => value === 0,
  write: (out, value) => out.varint(value),
  read: (input) => input.varint(),
};
const FLAG_KIND: Kind<boolean> = {
  wire: 0,
  zero: false,
  isZero: (value) => !value,
  write: (out, value) => out.varint(value ? 1 : 0),
  read: (input) => input.varint() !== 0,
};
const TEXT_KIND: Kind<string> = {
  wire: 2,
  zero: "",
  isZero: (value) => value === "",
  write: (out, value) => out.block(Buffer.from(value)),
  read: (input) => Buffer.from(input.block()).toString(),
};
const BYTES_KIND: Kind<Uint8Array> = {
  wire: 2,
  zero: new Uint8Array(),
  isZero: (value) => value.byteLength === 0,
  write: (out, value) => out.block(value),
  read: (input) => input.block(),
};

/** An integer or an enumeration. Numbers beyond 2^53 are refused: nothing here has as many bytes. */
export const int = (number: number): Field<number> => one(number, NUMBER_KIND);
export const flag = (number: number): Field<boolean> => one(number, FLAG_KIND);
export const text = (number: number): Field<string> => one(number, TEXT_KIND);
export const bytes = (number: number): Field<Uint8Array> => one(number, BYTES_KIND);
export const texts = (number: number): Field<readonly string[]> => many(number, TEXT_KIND);
export const ints = (number: number): Field<readonly number[]> => many(number, NUMBER_KIND);

/** A message inside a message; `undefined` when it is not there. */
export function part<M>(number: number, type: MessageType<M>): Field<M | undefined> {
  const kind = kindOf(type);
  return {
    number,
    zero: undefined,
    write(out, value) {
      if (value === undefined) return;
      out.tag(number, 2);
      kind.write(out, value);
    },
    collect: () => last<M | undefined>(kind, undefined),
  };
}

export function parts<M>(number: number, type: MessageType<M>): Field<readonly M[]> {
  return many(number, kindOf(type));
}

/** Declares a message by its fields, whose numbers are those of the standard. */
export function message<M extends object>(fields: FieldsOf<M>): MessageType<M> {
  const named = Object.entries<Field<unknown>>(fields);
  const byNumber = new Map(named.map(([name, field]) => [field.number, { name, field }]));
  const complete = (values: Readonly<Record<string, unknown>>): M =>
    // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- one value for each field, of the field's own kind
    Object.fromEntries(named.map(([name, { zero }]) => [name, values[name] ?? zero])) as M;
  return {
    of: (given) => complete({ ...given }),
    encode(given) {
      const out = new Writer();
      const values: Readonly<Record<string, unknown>> = { ...given };
      for (const [name, field] of named) {
        const value = values[name];
        if (value !== undefined) field.write(out, value);
      }
      return out.result();
    },
    decode(encoded) {
      const input = new Reader(encoded);
      const found = new Map<string, Collected<unknown>>();
      while (!input.isAtEnd) {
        const tag = input.varint();
        const known = byNumber.get(Math.floor(tag / 8));
        if (known === undefined) {
          input.skip(tag % 8);
          continue;
        }
        const collected = found.get(known.name) ?? known.field.collect();
        found.set(known.name, collected);
        collected.add(input, tag % 8);
      }
      return complete(Object.fromEntries([...found].map(([name, collected]) => [name, collected.value()])));
    },
  };
}

function kindOf<M>(type: MessageType<M>): Kind<M> {
  return {
    wire: 2,
    zero: type.of({}),
    // In a list an empty message is an entry all the same.
    isZero: () => false,
    write: (out, value) => out.block(type.encode({ ...value })),
    read: (input) => type.decode(input.block()),
  };
}

function one<T>(number: number, kind: Kind<T>): Field<T> {
  return {
    number,
    zero: kind.zero,
    write(out, value) {
      if (kind.isZero(value)) return;
      out.tag(number, kind.wire);
      kind.write(out, value);
    },
    collect: () => last(kind, kind.zero),
  };
}

/** The last occurrence counts. */
function last<T>(kind: Pick<Kind<T>, "wire" | "read">, zero: T): Collected<T> {
  let value = zero;
  return {
    add: (input, wire) => {
      value = readOne(kind, input, wire);
    },
    value: () => value,
  };
}

function many<T>(number: number, kind: Kind<T>): Field<readonly T[]> {
  return {
    number,
    zero: [],
    write(out, values) {
      for (const value of values) {
        out.tag(number, kind.wire);
        kind.write(out, value);
      }
    },
    collect() {
      const values: T[] = [];
      return {
        add(input, wire) {
          // Numbers may come packed into one field.
          if (kind.wire !== 0 || wire !== 2) values.push(readOne(kind, input, wire));
          else for (const packed = new Reader(input.block()); !packed.isAtEnd;) values.push(kind.read(packed));
        },
        value: () => values,
      };
    },
  };
}

function readOne<T>(kind: Pick<Kind<T>, "wire" | "read">, input: Reader, wire: number): T {
  if (wire !== kind.wire) throw malformed("a field of a message has another form than the standard's");
  return kind.read(input);
}
