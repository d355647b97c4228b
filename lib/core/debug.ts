/** The areas that `KILN_DEBUG` accepts, one word for each part of the program with debug output. */
export const DEBUG_AREAS = [
  "engine",
  "cache",
  "schedule",
  "sources",
  "store",
  "registry",
  "runtime",
  "export",
] as const;

export type DebugArea = (typeof DEBUG_AREAS)[number];

interface Listener {
  readonly areas: ReadonlySet<DebugArea>;
  tell(area: DebugArea, text: string): void;
}

/* The only variable that all rooms share. Its output is for developers, and no code may depend on it. */
let listener: Listener | undefined;

/**
 * Reports a debug event. `describe` is called only when `KILN_DEBUG` names the area, so otherwise this costs one comparison.
 * Its text must not contain secrets, and so no values of variables or headers.
 */
export function debug(area: DebugArea, describe: () => string): void {
  if (listener?.areas.has(area) === true) listener.tell(area, describe());
}

/** Listens to the debug output of some areas until disposed. Only the latest listener counts. */
export function listenToDebug(areas: ReadonlySet<DebugArea>, tell: Listener["tell"]): Disposable {
  const own: Listener = { areas, tell };
  listener = own;
  return {
    [Symbol.dispose]: () => {
      if (listener === own) listener = undefined;
    },
  };
}
