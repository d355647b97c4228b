import type { HistoryEntry, ImageConfig } from "../../lib/core/oci.ts";

/** Facts about a layer, for writing history. */
export interface LayerFacts {
  /** RFC 3339. */
  readonly created: string;
  /** Display text, for layers without an instruction. */
  readonly description: string;
}

/**
 * Makes history agree with the layers: it gets as many entries without `empty_layer` as there are layers, each with a
 * time. Layers have their own time; entries without a layer get that of the layer before them, or of the first new one.
 * The rules are those of BuildKit's exporter.
 */
export function completeHistory(drafts: readonly HistoryEntry[], layers: readonly LayerFacts[]): HistoryEntry[] {
  let used = 0;
  const entries: HistoryEntry[] = drafts.map((draft) => {
    if (draft.empty_layer === true) return draft;
    const layer = layers[used];
    used += 1;
    // More entries than layers: the last ones made none.
    if (layer === undefined) return { ...draft, empty_layer: true };
    return draft.created === undefined ? { ...draft, created: layer.created } : draft;
  });
  for (const layer of layers.slice(used)) {
    entries.push({ created: layer.created, created_by: layer.description, comment: "buildkit.exporter.image.v0" });
  }
  return fillTimes(entries);
}

/** Fills in times of entries without a layer, which have none of their own. */
function fillTimes(entries: readonly HistoryEntry[]): HistoryEntry[] {
  // The first time after the first gap, so that a first metadata entry does not seem as old as the base image; when
  // nothing new has a time, the last one.
  const firstGap = entries.findIndex((entry) => entry.created === undefined);
  if (firstGap === -1) return [...entries];
  const afterGap = entries.slice(firstGap).find((entry) => entry.created !== undefined);
  let created = (afterGap ?? entries.findLast((entry) => entry.created !== undefined))?.created;
  return entries.map((entry, index) => {
    if (entry.created === undefined) return created === undefined ? entry : { ...entry, created };
    if (index > firstGap) created = entry.created;
    return entry;
  });
}

/**
 * Limits the times of the image and of its new history entries to `epochSeconds`; the base image's own entries stay.
 */
export function clampTimes(config: ImageConfig, baseHistoryCount: number, epochSeconds: number): ImageConfig {
  const latest = formatTime(epochSeconds * 1000);
  const clamp = (created: string | undefined): string =>
    created === undefined || Date.parse(created) > epochSeconds * 1000 ? latest : created;
  const history = config.history.map((entry, index) =>
    index < baseHistoryCount ? entry : { ...entry, created: clamp(entry.created) },
  );
  return { ...config, history, created: clamp(config.created) };
}

/**
 * Formats like Go's time.RFC3339Nano in UTC: fractions without trailing zeros. Computed by hand: a process's first Date
 * takes most of a millisecond, and a fully cached build needs no other.
 */
export function formatTime(milliseconds: number): string {
  const seconds = Math.floor(milliseconds / 1000);
  const days = Math.floor(seconds / 86_400);
  const { year, month, day } = dateOf(days);
  const [second, fraction] = [seconds - days * 86_400, Math.floor(milliseconds - seconds * 1000)];
  const time = [second / 3600, (second / 60) % 60, second % 60].map((part) => digits(Math.floor(part), 2));
  const rest = fraction === 0 ? "" : `.${digits(fraction, 3).replace(/0+$/, "")}`;
  return `${digits(year, 4)}-${digits(month, 2)}-${digits(day, 2)}T${time.join(":")}${rest}Z`;
}

/** Returns the Gregorian date `days` after 1970-01-01. Years begin in March here, so leap days end them. */
function dateOf(days: number): { readonly year: number; readonly month: number; readonly day: number } {
  const shifted = days + 719_468; // days since 0000-03-01
  const era = Math.floor(shifted / 146_097); // cycles of 400 years
  const dayOfEra = shifted - era * 146_097;
  const leapless =
    dayOfEra - Math.floor(dayOfEra / 1460) + Math.floor(dayOfEra / 36_524) - Math.floor(dayOfEra / 146_096);
  const yearOfEra = Math.floor(leapless / 365);
  const dayOfYear = dayOfEra - 365 * yearOfEra - Math.floor(yearOfEra / 4) + Math.floor(yearOfEra / 100);
  const fromMarch = Math.floor((5 * dayOfYear + 2) / 153);
  const month = fromMarch < 10 ? fromMarch + 3 : fromMarch - 9;
  const day = dayOfYear - Math.floor((153 * fromMarch + 2) / 5) + 1;
  return { year: era * 400 + yearOfEra + (month <= 2 ? 1 : 0), month, day };
}

function digits(number: number, count: number): string {
  return String(number).padStart(count, "0");
}
