import type { Descriptor } from "../core/oci.ts";
import type { Database } from "./database.ts";
import type { Pulled, PulledName } from "./store.ts";
import type { Facts } from "./store.ts";

const KIND = "pulled";

/** Keeps what names meant in their registries when builds asked, as facts: nobody gave these names to anything here. */
export function openPulled(facts: Facts, nowMs: () => number): Pulled {
  const write = (name: string, { target, answeredAtMs, triedAtMs }: PulledName): void => {
    const value = Buffer.from(JSON.stringify({ target, answeredAtMs, triedAtMs }));
    facts.set(KIND, name, { value, blobs: [target.digest] });
  };
  const get = (name: string): PulledName | undefined => {
    const fact = facts.get(KIND, name);
    // Written by nobody but us.
    return fact === undefined ? undefined : (JSON.parse(Buffer.from(fact.value).toString()) as PulledName);
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

/** Forgets what a name meant in its registry: somebody here gives it a meaning. */
export function forgetPulled(database: Database, name: string): void {
  database.run("DELETE FROM facts WHERE kind = ? AND key = ?", KIND, name);
}

/** Whether a fact says what a name means in its registry. */
export function isPulled({ kind }: { readonly kind: string }): boolean {
  return kind === KIND;
}
