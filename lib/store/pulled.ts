import { descriptorShape } from "../core/descriptor-shape.ts";
import { NUMBER, object, recallAs } from "../core/shape.ts";
import type { Descriptor } from "../core/oci.ts";
import type { Database } from "./database.ts";
import type { Pulled, PulledName } from "./store.ts";
import type { Facts } from "./store.ts";

const KIND = "pulled";

const pulledName = object<PulledName>({ target: descriptorShape, answeredAtMs: NUMBER, triedAtMs: NUMBER });

/**
 * Opens the memory of what names meant in their registries when builds asked. They are facts, because no user gave
 * these names to an image here.
 */
export function openPulled(facts: Facts, nowMs: () => number): Pulled {
  const write = (name: string, { target, answeredAtMs, triedAtMs }: PulledName): void => {
    const value = Buffer.from(JSON.stringify({ target, answeredAtMs, triedAtMs }));
    facts.set(KIND, name, { value, blobs: [target.digest] });
  };
  const get = (name: string): PulledName | undefined => {
    const fact = facts.get(KIND, name);
    return fact === undefined ? undefined : recallAs(pulledName, fact.value);
  };
  return {
    get,
    answered: (name, target: Descriptor) => write(name, { target, answeredAtMs: nowMs(), triedAtMs: nowMs() }),
    tried: (name) => {
      const known = get(name);
      if (known !== undefined) write(name, { ...known, triedAtMs: nowMs() });
    },
    forget: (name) => facts.delete(KIND, name),
  };
}

/** Forgets a name's meaning in its registry, because a user gives it a meaning here. */
export function forgetPulled(database: Database, name: string): void {
  database.run("DELETE FROM facts WHERE kind = ? AND key = ?", KIND, name);
}

/** Tells whether a fact is a name's meaning in its registry. */
export function isPulled({ kind }: { readonly kind: string }): boolean {
  return kind === KIND;
}
