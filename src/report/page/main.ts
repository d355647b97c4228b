import type { PageBefore, PageBuild, PageData } from "../data.ts";
import { comparison } from "./compare.ts";
import { make, section } from "./dom.ts";
import { sizes } from "./sizes.ts";
import { stepList } from "./step-list.ts";
import { timeline } from "./timeline.ts";
import { count, duration, moment, signed, size, STATUS, took } from "./words.ts";

/** Draws the whole page. */
function page(data: PageData): void {
  const { build, steps } = data;
  const parts = [
    steps.some(({ endMs }) => endMs !== undefined) ? timeline(data) : undefined,
    comparison(data),
    steps.length > 0 ? stepList(data) : undefined,
    sizes(data),
    facts(build),
  ].flatMap((part) => part ?? []);
  const links = parts.map((part) =>
    make("li", {}, make("a", { attributes: { href: `#${part.id}` } }, part.querySelector("h2")?.textContent ?? "")),
  );
  document.body.replaceChildren(
    make("a", { class: "skip", attributes: { href: "#main" } }, "Skip to the content"),
    header(build, make("nav", { attributes: { "aria-label": "Parts of the page" } }, make("ul", {}, ...links))),
    make("main", { attributes: { id: "main", tabindex: "-1" } }, overview(data), errorOf(data), ...parts),
    make("footer", {}, `Made by kiln ${build.version}. This page is one file: it loads nothing and sends nothing.`),
  );
  openTarget();
  window.addEventListener("hashchange", openTarget);
}

function header({ name, status, id, startedAtMs }: PageBuild, navigation: HTMLElement): HTMLElement {
  const time = make("time", { attributes: { datetime: new Date(startedAtMs).toISOString() } }, moment(startedAtMs));
  return make(
    "header",
    {},
    make(
      "div",
      { class: "top" },
      make("h1", {}, make("span", { class: "kind" }, "Build of "), name),
      make("span", { class: `status ${status}` }, STATUS[status]),
    ),
    make("p", { class: "id" }, time, " · ", make("code", {}, id)),
    navigation,
  );
}

/** Makes the tiles: the few numbers that one looks for first. */
function overview(data: PageData): HTMLElement {
  const { build, layers, steps, before } = data;
  const critical = steps.filter(({ isCritical }) => isCritical).reduce((sum, step) => sum + (took(step) ?? 0), 0);
  const imageBytes = layers.length === 0 ? undefined : layers.reduce((sum, { bytes = 0 }) => sum + bytes, 0);
  const share = build.total === 0 ? undefined : Math.round((100 * build.cached) / build.total);
  const tiles = [
    tile(
      "Duration",
      build.durationMs === undefined ? "unknown" : duration(build.durationMs),
      changeOf(build.durationMs, before, "durationMs", duration),
    ),
    tile("Steps", String(build.total), `${build.total - build.cached} ran, ${build.cached} cached`),
    ...(share === undefined ? [] : [tile("From the cache", `${share} %`, undefined, meter(share))]),
    ...(critical > 0 ? [tile("Critical path", duration(critical), slowest(data))] : []),
    ...(imageBytes === undefined
      ? []
      : [
          tile(
            "Image",
            size(imageBytes),
            changeOf(imageBytes, before, "imageBytes", size) ?? `${count(layers.length, "layer")}, uncompressed`,
          ),
        ]),
  ];
  return make("section", { class: "tiles", attributes: { "aria-label": "At a glance" } }, make("dl", {}, ...tiles));
}

function tile(name: string, value: string, note: string | undefined, extra?: HTMLElement): HTMLElement {
  return make(
    "div",
    { class: "tile" },
    make("dt", {}, name),
    make(
      "dd",
      {},
      make("span", { class: "value" }, value),
      note === undefined ? undefined : make("span", { class: "sub" }, note),
      extra,
    ),
  );
}

function meter(share: number): HTMLElement {
  const fill = make("span", { class: "fill" });
  fill.style.width = `${share}%`;
  return make("span", { class: "meter", attributes: { "aria-hidden": "true" } }, fill);
}

function slowest({ steps }: PageData): string | undefined {
  const [longest] = steps.filter(({ isCritical }) => isCritical).toSorted((a, b) => (took(b) ?? 0) - (took(a) ?? 0));
  if (longest === undefined) return undefined;
  const name = longest.name.replace(/^\[[^\]]*\] /, "");
  return `longest: ${name.length <= 34 ? name : `${name.slice(0, 33)}…`}`;
}

function changeOf(
  now: number | undefined,
  before: PageBefore | undefined,
  member: "durationMs" | "imageBytes",
  format: (value: number) => string,
): string | undefined {
  const then = before?.[member];
  if (now === undefined || then === undefined) return undefined;
  return now === then ? "as in the build before" : `${signed(now - then, format)} to the build before`;
}

function errorOf({ build: { error }, steps }: PageData): HTMLElement | undefined {
  if (error === undefined) return undefined;
  const failed = steps.findIndex(({ state }) => state === "failed");
  const link = make("a", { attributes: { href: `#step-${failed}` } }, "the failed step and its log");
  return make(
    "section",
    { class: "error", attributes: { "aria-labelledby": "error-title" } },
    make("h2", { attributes: { id: "error-title" } }, "Error"),
    make("pre", { attributes: { tabindex: "0", role: "region", "aria-label": "Message of the error" } }, error.message),
    make("p", {}, make("code", {}, error.code), failed === -1 ? undefined : " · ", failed === -1 ? undefined : link),
  );
}

function facts({ facts: known }: PageBuild): HTMLElement {
  const rows = known.map(([name, values]) =>
    make("div", {}, make("dt", {}, name), ...values.map((value) => make("dd", {}, value))),
  );
  return section("facts", "Facts", make("dl", { class: "wide" }, ...rows));
}

/** Opens the step that the address names, so that a link leads to something. */
function openTarget(): void {
  const target = document.getElementById(location.hash.slice(1));
  if (!(target instanceof HTMLDetailsElement)) return;
  target.hidden = false;
  target.open = true;
  target.querySelector("summary")?.focus({ preventScroll: true });
  target.scrollIntoView({ block: "start" });
}

/** Tells whether a value is the data: kiln wrote it into this very page, so its first member is enough. */
function isData(value: unknown): value is PageData {
  return typeof value === "object" && value !== null && "build" in value && "steps" in value;
}

const data: unknown = JSON.parse(document.getElementById("data")?.textContent ?? "null");
if (isData(data)) page(data);
