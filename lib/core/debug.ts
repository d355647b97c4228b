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

/** Takes what the program tells of itself. Never throws and never waits. */
export interface DebugListener {
  readonly areas: ReadonlySet<DebugArea>;
  tell?(area: DebugArea, text: string): void;
  /** Begins a span of time, which ends when the returned function is called. */
  begin(area: DebugArea, name: string): () => void;
}

/* The one value that all rooms share: what is told here is for developers, and nothing may depend on it. */
let listeners: readonly DebugListener[] = [];

/**
 * Tells a developer what goes on. `describe` is called only when somebody has asked for the area, so a silent program pays
 * for a comparison. It must leave out secrets, and so values of variables and of headers.
 */
export function debug(area: DebugArea, describe: () => string): void {
  for (const listener of listeners) {
    if (listener.tell !== undefined && listener.areas.has(area)) listener.tell(area, describe());
  }
}

/** Runs the work and reports its duration to the area. `name` follows the rules of `debug`. */
export async function timed<T>(area: DebugArea, name: string | (() => string), work: () => Promise<T>): Promise<T> {
  const asking = listeners.filter(({ areas }) => areas.has(area));
  if (asking.length === 0) return work();
  const text = typeof name === "string" ? name : name();
  const ends = asking.map((listener) => listener.begin(area, text));
  try {
    return await work();
  } finally {
    for (const end of ends) end();
  }
}

/** Passes on what is told from now on, until disposed. */
export function listenToDebug(listener: DebugListener): Disposable {
  listeners = [...listeners, listener];
  return {
    [Symbol.dispose]: () => {
      listeners = listeners.filter((one) => one !== listener);
    },
  };
}
