import type { MirrorMemory } from "../../../lib/registry/registry.ts";
import type { Facts } from "../../../lib/store/store.ts";

const KIND = "mirror";
/**
 * Lifetime of a failure. A mirror that swallows packets costs each command three seconds; one that is back is used
 * again soon.
 */
const LIFE_MS = 3 * 60_000;

/** Keeps mirrors' recent failures in the store, so that commands need not find out one by one. */
export function mirrorMemory(facts: Pick<Facts, "get" | "set" | "delete">, clock: { nowMs(): number }): MirrorMemory {
  return {
    recall(name) {
      const fact = facts.get(KIND, name);
      const ageMs = fact === undefined ? -1 : clock.nowMs() - fact.updatedAtMs;
      // A clock that was set back proves nothing.
      return fact !== undefined && ageMs >= 0 && ageMs < LIFE_MS ? new TextDecoder().decode(fact.value) : undefined;
    },
    note: (name, why) => facts.set(KIND, name, { value: new TextEncoder().encode(why) }),
    forget: (name) => facts.delete(KIND, name),
  };
}
