import type { PageData, PageFile, PageFiles, PageLog, PageStep } from "../data.ts";
import { ColouredText } from "./ansi.ts";
import { make, section, table } from "./dom.ts";
import { count, duration, outcome, size, took } from "./words.ts";

type Choice = "all" | "ran" | "critical" | "failed";

const CHOICES: readonly (readonly [Choice, string])[] = [
  ["all", "All"],
  ["ran", "Ran"],
  ["critical", "Critical path"],
  ["failed", "Failed"],
];

/** Makes the list of steps; each opens to its reason, resources, files and log. */
export function stepList({ steps }: PageData): HTMLElement {
  const items = steps.map((step, index) => ({ step, element: item(step, index, steps) }));
  const told = make("p", { class: "note", attributes: { role: "status" } });
  let choice: Choice = "all";
  const search = make("input", {
    attributes: { type: "search", id: "search", placeholder: "Text of a step", autocomplete: "off" },
    on: { input: () => apply() },
  });
  const apply = (): void => {
    const wanted = search.value.trim().toLowerCase();
    let shown = 0;
    for (const { step, element } of items) {
      const isShown = isChosen(step, choice) && (wanted === "" || step.name.toLowerCase().includes(wanted));
      element.hidden = !isShown;
      if (isShown) shown += 1;
    }
    told.textContent = shown === items.length ? "" : `${count(shown, "step")} of ${items.length}`;
  };
  const possible = CHOICES.filter(([one]) => one === "all" || steps.some((step) => isChosen(step, one)));
  const radios = possible.map(([value, text]) => {
    const input = make("input", {
      attributes: { type: "radio", name: "choice", value, ...(value === "all" ? { checked: "" } : {}) },
      on: {
        change: () => {
          choice = value;
          apply();
        },
      },
    });
    return make("label", { class: "choice" }, input, make("span", {}, text));
  });
  return section(
    "steps",
    "Steps",
    make(
      "div",
      { class: "filters" },
      make("fieldset", {}, make("legend", { class: "unseen" }, "Which steps"), ...radios),
      make("label", { class: "unseen", attributes: { for: "search" } }, "Search in the names of steps"),
      search,
    ),
    told,
    make("div", { class: "list" }, ...items.map(({ element }) => element)),
  );
}

function isChosen(step: PageStep, choice: Choice): boolean {
  const how = outcome(step);
  switch (choice) {
    case "all":
      return true;
    case "ran":
      return step.how === "ran" && how !== "cached";
    case "critical":
      return step.isCritical && (took(step) ?? 0) > 0;
    case "failed":
      return how === "failed" || how === "cancelled";
    default:
      return choice satisfies never;
  }
}

function item(step: PageStep, index: number, steps: readonly PageStep[]): HTMLElement {
  const how = outcome(step);
  const isCritical = step.isCritical && (took(step) ?? 0) > 0;
  const time = how === "cached" && step.how !== "work" ? "" : duration(took(step));
  const heading = make(
    "summary",
    {},
    make("span", { class: "title" }, step.name),
    make(
      "span",
      { class: "tags" },
      isCritical ? make("span", { class: "tag critical" }, "critical") : undefined,
      make("span", { class: `tag ${how}` }, how),
      time === "" ? undefined : make("span", { class: "time" }, time),
    ),
  );
  const details = make(
    "details",
    {
      class: "step",
      attributes: { id: `step-${index}`, ...(how === "failed" ? { open: "" } : {}) },
      on: {
        toggle: () => {
          // Logs are long: they are drawn when they are looked at.
          if (details.open && !details.classList.contains("drawn")) {
            details.classList.add("drawn");
            details.append(body(step, steps));
          }
        },
      },
    },
    heading,
  );
  return details;
}

function body(step: PageStep, steps: readonly PageStep[]): HTMLElement {
  const { why, changes, needs, place, files, log, before } = step;
  const waited = needs.flatMap((index) => {
    const name = steps[index]?.name;
    return name === undefined ? [] : [make("li", {}, make("a", { attributes: { href: `#step-${index}` } }, name))];
  });
  const facts: readonly (readonly [string, string | undefined])[] = [
    ["Place", place],
    ["Processor", step.cpuMs === undefined ? undefined : duration(step.cpuMs)],
    ["Memory at most", size(step.memoryBytes)],
    ["Read from disk", size(step.readBytes || undefined)],
    ["Written", size(step.writtenBytes || undefined)],
    ["Layer", size(step.layerBytes)],
    ["Build before", before === undefined ? undefined : beforeText(before)],
  ];
  const shown = facts.filter(([, value]) => value !== undefined && value !== "");
  return make(
    "div",
    { class: "body" },
    why === undefined ? undefined : make("p", { class: "why" }, make("strong", {}, "Why it ran: "), why),
    changes.length === 0 ? undefined : make("ul", { class: "changes" }, ...changes.map((line) => make("li", {}, line))),
    shown.length === 0
      ? undefined
      : make(
          "dl",
          { class: "facts" },
          ...shown.map(([name, value]) => make("div", {}, make("dt", {}, name), make("dd", {}, value))),
        ),
    waited.length === 0
      ? undefined
      : make(
          "details",
          { class: "needs" },
          make("summary", {}, `Needed ${count(waited.length, "step")}`),
          make("ul", {}, ...waited),
        ),
    files === undefined ? undefined : fileList(files),
    log === undefined ? undefined : logView(log),
    why === undefined && shown.length === 0 && files === undefined && log === undefined
      ? make("p", { class: "note" }, "Nothing more is known of it.")
      : undefined,
  );
}

function beforeText({ how, durationMs, layerBytes }: NonNullable<PageStep["before"]>): string {
  const time =
    how === "ran" && durationMs !== undefined ? `ran in ${duration(durationMs)}` : how === "ran" ? "ran" : "cached";
  return layerBytes === undefined ? time : `${time}, ${size(layerBytes)}`;
}

const SIGNS: Readonly<Record<PageFile["how"], string>> = {
  added: "+ added",
  changed: "~ changed",
  removed: "− removed",
  written: "+ written",
};

function fileList({ added, changed, removed, bytes, list, more }: PageFiles): HTMLElement {
  const parts = [
    ...(added > 0 ? [`${added.toLocaleString("en-US")} added`] : []),
    ...(changed > 0 ? [`${changed.toLocaleString("en-US")} changed`] : []),
    ...(removed > 0 ? [`${removed.toLocaleString("en-US")} removed`] : []),
  ];
  const text = parts.length === 0 ? "Files: none" : `Files: ${parts.join(", ")} (${size(bytes)})`;
  if (list.length === 0) return make("p", { class: "files" }, text);
  const rows = list.map((file) => ({
    class: file.how,
    cells: [
      { class: "path", content: `/${file.path}` },
      { content: SIGNS[file.how] },
      { class: "number", content: file.how === "removed" ? "" : size(file.bytes) },
    ],
  }));
  return make(
    "details",
    { class: "files" },
    make("summary", {}, text),
    table(
      "Files of this step, the largest first",
      [{ content: "Path" }, { content: "How" }, { class: "number", content: "Size" }],
      rows,
    ),
    more > 0 ? make("p", { class: "note" }, `and ${count(more, "smaller file")}`) : undefined,
  );
}

function logView({ text, cut }: PageLog): HTMLElement {
  const view = make("pre", { class: "log", attributes: { tabindex: "0", "aria-label": "Log", role: "region" } });
  const colours = new ColouredText();
  const add = (part: string): void => {
    for (const line of part.replace(/\n$/, "").split("\n")) {
      for (const { text: piece, classes } of colours.line(line)) {
        view.append(classes.length === 0 ? piece : make("span", { class: classes.join(" ") }, piece));
      }
      view.append("\n");
    }
  };
  add(text);
  if (cut !== undefined) {
    view.append(make("span", { class: "cut" }, cut.note), "\n");
    add(cut.rest);
  }
  return view;
}
