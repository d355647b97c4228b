import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Browser, chromium, type Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { PageData, PageStep } from "../data.ts";
import { reportDocument } from "../document.ts";

const BROWSER = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"].find((path) =>
  existsSync(path),
);
const TEMPLATE = join(import.meta.dirname, "../../../build/report.html");
const skip =
  BROWSER === undefined
    ? "needs chromium"
    : existsSync(TEMPLATE)
      ? undefined
      : "needs build/report.html, from npm run build";
if (skip !== undefined) console.warn(`skipped: the page in a browser: ${skip}`);

/** Text that would run, or end its element, if it became markup anywhere. */
const HOSTILE = `</script><script>window.hacked=1</script><img src=x onerror="window.hacked=1">"'><svg onload=window.hacked=1>{{7*7}}\${hacked}`;

function step(more: Partial<PageStep>): PageStep {
  return {
    ...{
      name: "[1/2] RUN make",
      how: "ran",
      state: "done",
      stage: "build",
      place: "Dockerfile:2",
      startMs: 0,
      endMs: 900,
    },
    ...{ needs: [], isCritical: true, why: "never built here", changes: [], cpuMs: 12, memoryBytes: 5e6, readBytes: 1 },
    ...{ writtenBytes: 7, layerBytes: 9e6, files: undefined, log: undefined, before: undefined },
    ...more,
  };
}

const data: PageData = {
  build: {
    ...{ id: "abc-1", name: HOSTILE, status: "failed", startedAtMs: 1.8e12, durationMs: 2000, total: 3, cached: 1 },
    ...{ error: { code: "solver/exec-failed", message: HOSTILE }, version: "1" },
    facts: [["Context", [HOSTILE]]],
  },
  steps: [
    step({ name: "[internal] load", how: "work", endMs: 20, why: undefined }),
    step({
      name: HOSTILE,
      why: HOSTILE,
      changes: [HOSTILE],
      place: HOSTILE,
      before: { how: "cached", durationMs: 1, layerBytes: 1 },
    }),
    step({
      name: "[2/2] RUN test",
      startMs: 900,
      endMs: 1900,
      needs: [1],
      files: {
        ...{ added: 1, changed: 1, removed: 1, bytes: 8, more: 3 },
        list: [
          { path: HOSTILE, how: "added", bytes: 5 },
          { path: "etc/passwd", how: "changed", bytes: 3 },
          { path: "gone", how: "removed", bytes: 0 },
        ],
      },
    }),
    step({ name: "[3/3] FROM x", how: "cached", state: "cached", isCritical: false, endMs: 0 }),
    step({
      name: "[4/4] RUN fails",
      state: "failed",
      log: {
        text: `\u001b[31m${HOSTILE}\u001b[0m\n${[0, 1, 2, 3, 4, 5, 6, 7].map((n) => `\u001b[3${n}mcolour ${n}\u001b[9${n}m bright\u001b[0;4${n}m back\u001b[10${n}m behind\u001b[0m`).join("\n")}\n`,
        cut: { note: `Here 299MB ${HOSTILE}`, rest: "the end\n" },
      },
    }),
  ],
  layers: [
    { title: "base image", bytes: 5e7, isBase: true, tree: undefined },
    {
      ...{ title: HOSTILE, bytes: 4e7, isBase: false },
      tree: {
        name: "/",
        bytes: 4e7,
        children: [
          { name: HOSTILE, bytes: 3e7 },
          { name: "b/", bytes: 1e7, children: [{ name: "c", bytes: 1e7 }] },
        ],
      },
    },
  ],
  before: {
    ...{ id: HOSTILE, startedAtMs: 1, durationMs: 1500, imageBytes: 8e7, total: 3, cached: 3 },
    gone: [HOSTILE],
  },
};

describe.skipIf(skip !== undefined)("the page of a build", () => {
  let home = "";
  let browser: Browser;
  beforeAll(async () => {
    home = mkdtempSync(join(tmpdir(), "kiln-page-"));
    writeFileSync(join(home, "page.html"), reportDocument(readFileSync(TEMPLATE, "utf8"), data));
    browser = await chromium.launch({ executablePath: BROWSER ?? "", args: ["--no-sandbox"] });
  }, 60_000);
  afterAll(async () => {
    await browser.close();
    rmSync(home, { recursive: true, force: true });
  });

  interface Opened {
    readonly page: Page;
    readonly faults: readonly string[];
  }

  async function open(scheme: "light" | "dark", width: number): Promise<Opened> {
    const page = await browser.newPage({
      viewport: { width, height: 800 },
      colorScheme: scheme,
      reducedMotion: "reduce",
    });
    const faults: string[] = [];
    page.on("console", (message) => faults.push(message.text()));
    page.on("pageerror", (error) => faults.push(error.message));
    page.on("request", (request) => {
      if (!request.url().endsWith("/page.html")) faults.push(`asks for ${request.url()}`);
    });
    await page.goto(`file://${home}/page.html`);
    const openAll = async (): Promise<void> =>
      page.evaluate(() => document.querySelectorAll("details").forEach((element) => element.setAttribute("open", "")));
    await openAll();
    // Steps are drawn when they open, and have more to open.
    await expect.poll(() => page.locator("details.step:not(.drawn)").count()).toBe(0);
    await openAll();
    return { page, faults };
  }

  test("nothing of a build becomes markup, nothing is loaded, and nothing is against its policy", async () => {
    const { page, faults } = await open("light", 1440);
    expect(faults).toEqual([]);
    expect(await page.evaluate(() => "hacked" in window)).toBe(false);
    expect(await page.locator("img, iframe, object, embed, link, main script, [onerror], [onload]").count()).toBe(0);
    expect(await page.locator("h1").textContent()).toBe(`Build of ${HOSTILE}`);
    expect(await page.locator("pre.log").textContent()).toContain(HOSTILE);
    expect(await page.title()).toBe(`${HOSTILE}: build abc-1`);
    await page.close();
  });

  test.each([
    { scheme: "light", width: 1440 },
    { scheme: "dark", width: 1440 },
    { scheme: "light", width: 390 },
    { scheme: "dark", width: 390 },
  ] as const)("text has contrast, and nothing is wider than the screen: $scheme, $width", async ({ scheme, width }) => {
    const { page } = await open(scheme, width);
    expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBe(width);
    expect(await page.evaluate(lowContrast)).toEqual([]);
    await page.close();
  });

  test("it has landmarks, one order of headings, names for controls, and headings for tables", async () => {
    const { page } = await open("light", 1440);
    expect(await page.locator("header, main, footer, nav[aria-label='Parts of the page']").count()).toBe(4);
    expect(
      await page.evaluate(() => [...document.querySelectorAll("h1, h2, h3")].map(({ tagName }) => tagName)),
    ).toEqual(["H1", ...Array.from({ length: 6 }, () => "H2")]);
    const nameless = await page.evaluate(
      () =>
        [...document.querySelectorAll<HTMLElement>("button, a, summary, [role=region], input")].filter((element) => {
          const labels =
            element instanceof HTMLInputElement
              ? [...(element.labels ?? [])].map((one) => one.textContent).join("")
              : "";
          return `${element.getAttribute("aria-label") ?? ""}${element.textContent}${labels}`.trim() === "";
        }).length,
    );
    expect(nameless).toBe(0);
    const bare = await page.evaluate(
      () =>
        [...document.querySelectorAll("table")].filter(
          (one) => one.caption === null || one.querySelector("th[scope=col]") === null,
        ).length,
    );
    expect(bare).toBe(0);
    const ids = await page.evaluate(() => [...document.querySelectorAll("[id]")].map(({ id }) => id));
    expect(new Set(ids).size).toBe(ids.length);
    await page.close();
  });

  test("keys are enough: skip link, step, filter, map", async () => {
    const page = await browser.newPage({ viewport: { width: 1000, height: 800 } });
    await page.goto(`file://${home}/page.html`);
    await page.keyboard.press("Tab");
    expect(await page.evaluate(() => document.activeElement?.textContent)).toBe("Skip to the content");
    await page.locator("#step-2 > summary").focus();
    await page.keyboard.press("Enter");
    await page.locator("#step-2 .files > summary").focus();
    await page.keyboard.press("Enter");
    await expect.poll(() => page.locator("#step-2 .files table:visible").count()).toBe(1);
    await page.locator("input[type=radio][value=all]").focus();
    await page.keyboard.press("ArrowRight");
    expect(await page.locator("details.step:visible").count()).toBe(3);
    await page.locator("#search").fill("test");
    expect(await page.locator("details.step:visible").count()).toBe(1);
    await page.locator(".map button").first().focus();
    await page.keyboard.press("Enter");
    expect(await page.locator(".way [aria-current]").textContent()).toContain("40 MB");
    expect(await page.evaluate(() => document.activeElement?.closest(".map") !== null)).toBe(true);
    await page.close();
  });
});

/** Runs in the page: lists texts whose contrast with what is behind them is below WCAG's AA. */
function lowContrast(): string[] {
  const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const rgba = (color: string): number[] => {
    if (canvas === null) return [0, 0, 0, 255];
    canvas.clearRect(0, 0, 1, 1);
    canvas.fillStyle = color;
    canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data];
  };
  const luminance = (color: number[]): number => {
    const [r = 0, g = 0, b = 0] = color.map((value) => {
      const part = value / 255;
      return part <= 0.03928 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const over = (top: number[], below: number[], alpha: number): number[] =>
    [0, 1, 2].map((index) => (top[index] ?? 0) * alpha + (below[index] ?? 0) * (1 - alpha));
  const behind = (element: Element): number[] => {
    const layers: number[][] = [];
    for (let at: Element | null = element; at !== null; at = at.parentElement)
      layers.push(rgba(getComputedStyle(at).backgroundColor));
    let color = [255, 255, 255];
    for (const layer of layers.toReversed()) color = over(layer, color, (layer[3] ?? 255) / 255);
    return color;
  };
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  const found: string[] = [];
  for (let node = walker.nextNode(); node !== null; node = walker.nextNode()) {
    const element = node.parentElement;
    if (
      element === null ||
      (node.textContent ?? "").trim() === "" ||
      element.closest("script, style, noscript, svg, .unseen, .skip, [hidden]") !== null
    )
      continue;
    const style = getComputedStyle(element);
    const back = behind(element);
    const front = over(rgba(style.color), back, Number(style.opacity));
    const [light = 0, dark = 0] = [luminance(front), luminance(back)].toSorted((a, b) => b - a);
    const ratio = (light + 0.05) / (dark + 0.05);
    if (ratio < 4.5) found.push(`${ratio.toFixed(2)} ${element.className} ${(node.textContent ?? "").slice(0, 30)}`);
  }
  return [...new Set(found)];
}
