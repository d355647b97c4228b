import type { PageData, PageStep } from "../data.ts";
import { draw, make, section } from "./dom.ts";
import { count, duration, outcome, took } from "./words.ts";

/** Rows that are shown at first; the others come with a button. */
const FIRST_ROWS = 60;

/** Draws when each step ran: one row with a bar per step, which is a link to its details. */
export function timeline({ build, steps }: PageData): HTMLElement {
  const timed = [...steps.entries()].flatMap(([index, step]) =>
    step.startMs === undefined || step.endMs === undefined ? [] : [{ index, step }],
  );
  const endMs = Math.max(1, build.durationMs ?? 0, ...timed.map(({ step }) => step.endMs ?? 0));
  const rows = timed.map(({ index, step }) => row(step, index, endMs));
  const list = make(
    "ol",
    { class: "rows", attributes: { "aria-label": "Steps by time" } },
    ...rows.slice(0, FIRST_ROWS),
  );
  const critical = steps.filter(({ isCritical, ...step }) => isCritical && (took(step) ?? 0) > 0);
  const criticalMs = critical.reduce((sum, step) => sum + (took(step) ?? 0), 0);
  const note =
    critical.length === 0
      ? "No step took time."
      : `The critical path has ${count(critical.length, "step")} and ${duration(criticalMs)} of ${duration(endMs)}: the build becomes faster only where one of these does.`;
  return section(
    "timeline",
    "Timeline",
    make("p", { class: "note" }, note),
    legend(new Set(timed.map(({ step }) => kindOf(step)))),
    make("div", { class: "chart" }, axis(endMs), list),
    rows.length > FIRST_ROWS ? more(list, rows) : undefined,
  );
}

type Kind = "critical" | "ran" | "cached" | "failed";

const KINDS: readonly (readonly [Kind, string])[] = [
  ["critical", "critical path"],
  ["ran", "ran beside it"],
  ["cached", "cached"],
  ["failed", "failed"],
];

function kindOf(step: PageStep): Kind {
  const how = outcome(step);
  if (how === "failed") return "failed";
  if (how === "cached" || how === "reused") return "cached";
  return step.isCritical ? "critical" : "ran";
}

function legend(used: ReadonlySet<Kind>): HTMLElement {
  const entries = KINDS.filter(([kind]) => used.has(kind)).map(([kind, text]) =>
    make("li", {}, make("span", { class: `swatch ${kind}`, attributes: { "aria-hidden": "true" } }), text),
  );
  return make("ul", { class: "legend", attributes: { "aria-label": "Colours" } }, ...entries);
}

function more(list: HTMLElement, rows: readonly HTMLElement[]): HTMLElement {
  const button = make(
    "button",
    {
      class: "more",
      attributes: { type: "button" },
      on: {
        click: () => {
          list.append(...rows.slice(FIRST_ROWS));
          button.remove();
          rows[FIRST_ROWS]?.querySelector("a")?.focus();
        },
      },
    },
    `Show ${count(rows.length - FIRST_ROWS, "more step")}`,
  );
  return button;
}

/** Makes the row of a step. Its bar is drawn in thousandths of the build's time. */
function row(step: PageStep, index: number, endMs: number): HTMLElement {
  const { name, startMs = 0, isCritical } = step;
  const how = outcome(step);
  const milliseconds = took(step) ?? 0;
  const kind = kindOf(step);
  const from = (1000 * startMs) / endMs;
  const width = Math.max(4, (1000 * milliseconds) / endMs);
  const bar = draw(
    "svg",
    { viewBox: "0 0 1000 20", preserveAspectRatio: "none", "aria-hidden": "true", class: "bar", focusable: "false" },
    draw("rect", {
      ...{ x: String(Math.min(from, 1000 - width)), y: "3", width: String(width), height: "14", class: kind },
    }),
  );
  const words = [how, ...(isCritical && milliseconds > 0 ? ["on the critical path"] : [])].join(", ");
  return make(
    "li",
    { class: `row ${kind}` },
    make(
      "a",
      { attributes: { href: `#step-${index}` } },
      make("span", { class: "name" }, name),
      make(
        "span",
        { class: "unseen" },
        ` (${words}, begins after ${duration(startMs)}, takes ${duration(milliseconds)})`,
      ),
      make("span", { class: "track" }, bar),
      make("span", { class: "time", attributes: { "aria-hidden": "true" } }, duration(milliseconds)),
    ),
  );
}

/** Makes the axis: a few round times. */
function axis(endMs: number): HTMLElement {
  const step = roundStep(endMs / 4);
  const marks = Array.from({ length: Math.floor(endMs / step) + 1 }, (_, index) => index * step);
  const svg = draw(
    "svg",
    { viewBox: "0 0 1000 20", preserveAspectRatio: "none", class: "grid", focusable: "false" },
    ...marks.map((mark) =>
      draw("rect", { x: String((1000 * mark) / endMs), y: "0", width: "1", height: "20", class: "tick" }),
    ),
  );
  const labels = marks.map((mark) => {
    const label = make("span", { class: "mark" }, mark === 0 ? "0" : duration(mark));
    label.style.left = `${(100 * mark) / endMs}%`;
    return label;
  });
  // The last label would stand over the edge.
  const shown = labels.filter((_, index) => (marks[index] ?? 0) <= endMs * 0.93);
  return make(
    "div",
    { class: "axis", attributes: { "aria-hidden": "true" } },
    make("div", { class: "marks" }, svg, ...shown),
  );
}

function roundStep(least: number): number {
  const power = 10 ** Math.floor(Math.log10(Math.max(1, least)));
  return ([1, 2, 5, 10].find((one) => one * power >= least) ?? 10) * power;
}
