import type { MirrorMemory } from "../../../lib/registry/registry.ts";
import type { Facts } from "../../../lib/store/store.ts";

const KIND = "mirror";
/** A mirror that swallows packets costs each command three seconds. One that comes back is not missed for long. */
const LIFE_MS = 3 * 60_000;

/** Keeps in the store which mirrors did not answer a short while ago, so that commands need not find out one by one. */
export function mirrorMemory(facts: Pick<Facts, "get" | "set" | "delete">, clock: { nowMs(): number }): MirrorMemory {
  return {
    recall(name) {
      const fact = facts.get(KIND, name);
      const ageMs = fact === undefined ? -1 : clock.nowMs() - fact.updatedAtMs;
      // A clock that was set back says nothing.
      return fact !== undefined && ageMs >= 0 && ageMs < LIFE_MS ? new TextDecoder().decode(fact.value) : undefined;
    },
    note: (name, why) => facts.set(KIND, name, { value: new TextEncoder().encode(why) }),
    forget: (name) => facts.delete(KIND, name),
  };
}
