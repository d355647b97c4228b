import type { PageData, PageStep } from "../data.ts";
import { make, section, table } from "./dom.ts";
import { count, duration, moment, outcome, signed, size, took } from "./words.ts";

/** Differences of time below this, in milliseconds, are noise. */
const NOISE_MS = 50;

/** Compares the build with the one before: what is slower or faster, what ran and did not, what is larger. */
export function comparison({ build, steps, layers, before }: PageData): HTMLElement | undefined {
  if (before === undefined) return undefined;
  const imageBytes = layers.length === 0 ? undefined : layers.reduce((sum, { bytes = 0 }) => sum + bytes, 0);
  const lines = [
    ...(build.durationMs === undefined || before.durationMs === undefined
      ? []
      : [
          `${duration(build.durationMs)} instead of ${duration(before.durationMs)} (${signed(build.durationMs - before.durationMs, duration)})`,
        ]),
    `${count(build.total - build.cached, "step")} ran instead of ${before.total - before.cached}`,
    ...(imageBytes === undefined || before.imageBytes === undefined
      ? []
      : [
          imageBytes === before.imageBytes
            ? `the image has the same size, ${size(imageBytes)}`
            : `the image has ${size(imageBytes)} instead of ${size(before.imageBytes)} (${signed(imageBytes - before.imageBytes, size)})`,
        ]),
  ];
  const changed = steps.filter(differs);
  const rows = changed.map((step) => ({
    cells: [
      { class: "what", content: step.name },
      {
        class: "brief",
        content: step.before === undefined ? "new step" : wordOf(step.before.how, step.before.durationMs),
      },
      { class: "brief", content: wordOf(step.how === "work" ? "ran" : step.how, took(step), outcome(step)) },
      timeCell(step),
      sizeCell(step),
      { class: "reason", content: step.why ?? "" },
    ],
  }));
  return section(
    "before",
    "Compared with the build before",
    make("p", { class: "note" }, `Build ${before.id} of ${moment(before.startedAtMs)}: ${lines.join("; ")}.`),
    rows.length === 0
      ? make("p", {}, "No step did anything else.")
      : table(
          "Steps that did something else than in the build before",
          [
            { content: "Step" },
            { content: "Before" },
            { content: "Now" },
            { class: "number", content: "Time" },
            { class: "number", content: "Layer" },
            { content: "Why it ran" },
          ],
          rows,
        ),
    before.gone.length === 0
      ? undefined
      : make(
          "details",
          { class: "gone" },
          make(
            "summary",
            {},
            `${count(before.gone.length, "step")} of that build ${before.gone.length === 1 ? "is" : "are"} not in this one`,
          ),
          make("ul", {}, ...before.gone.map((name) => make("li", {}, name))),
        ),
  );
}

function differs(step: PageStep): boolean {
  if (step.how === "work") return false;
  const { before } = step;
  if (before === undefined) return true;
  if (before.how !== step.how) return true;
  const slower = step.how === "ran" ? Math.abs((took(step) ?? 0) - (before.durationMs ?? took(step) ?? 0)) : 0;
  const isResized =
    step.layerBytes !== undefined && before.layerBytes !== undefined && step.layerBytes !== before.layerBytes;
  return slower >= NOISE_MS || isResized;
}

function wordOf(
  how: "ran" | "cached" | "cutoff",
  milliseconds: number | undefined,
  word: string = how === "cutoff" ? "reused" : how,
): string {
  return how === "ran" && milliseconds !== undefined ? `${word}, ${duration(milliseconds)}` : word;
}

function timeCell(step: PageStep): { readonly class: string; readonly content: string } {
  const now = step.how === "ran" ? took(step) : 0;
  const then = step.before?.how === "ran" ? step.before.durationMs : 0;
  if (step.before === undefined || now === undefined || then === undefined) return { class: "number", content: "" };
  const difference = now - then;
  const sign = difference >= NOISE_MS ? " slower" : difference <= -NOISE_MS ? " faster" : "";
  return { class: `number${sign}`, content: Math.abs(difference) < 1 ? "" : signed(difference, duration) };
}

function sizeCell({ layerBytes, before }: PageStep): { readonly class: string; readonly content: string } {
  if (layerBytes === undefined || before?.layerBytes === undefined) return { class: "number", content: "" };
  const difference = layerBytes - before.layerBytes;
  return { class: "number", content: difference === 0 ? "" : signed(difference, size) };
}
