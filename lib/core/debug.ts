/** What `KILN_DEBUG` may ask about: one word for each part of the house that has something to tell. */
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

/* The one value that all rooms share: what is told here is for developers, and nothing may depend on it. */
let listener: Listener | undefined;

/**
 * Tells a developer what goes on. `describe` is called only when somebody has asked for the area, so a silent program pays
 * for a comparison. It must leave out secrets, and so values of variables and of headers.
 */
export function debug(area: DebugArea, describe: () => string): void {
  if (listener?.areas.has(area) === true) listener.tell(area, describe());
}

/** Passes on what the given areas tell, until disposed. The latest listener is the only one. */
export function listenToDebug(areas: ReadonlySet<DebugArea>, tell: Listener["tell"]): Disposable {
  const own: Listener = { areas, tell };
  listener = own;
  return {
    [Symbol.dispose]: () => {
      if (listener === own) listener = undefined;
    },
  };
}
