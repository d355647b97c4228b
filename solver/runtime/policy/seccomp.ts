import type { SeccompFilter } from "../plan.ts";
export function defaultSeccompFilter(_arch: string): SeccompFilter | undefined {
  return undefined;
}
