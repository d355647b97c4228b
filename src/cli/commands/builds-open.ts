import { spawn } from "node:child_process";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import type { Command } from "commander";
import { BuildError, errnoOf } from "../../../lib/core/errors.ts";
import type { ReportedStep } from "../../engine/report.ts";
import { pageData } from "../../report/page-data.ts";
import { layerContents } from "../../report/layer-contents.ts";
import { readLogs } from "../../report/kept-logs.ts";
import { reportDocument } from "../../report/document.ts";
import { buildBefore, findListedBuild, listBuilds, nameOfBuild } from "../build-records.ts";
import { type Cli, command, examples } from "../command.ts";
import type { CommandContext } from "../context.ts";
import { explainDetails } from "../explanation.ts";
import { writeResultFile } from "../result-files.ts";

/** Declares `kiln builds open`: a build as one page for a browser. */
export function buildsOpenCommand(program: Command, cli: Cli): void {
  command(program, cli, "builds-open [build]", run)
    .description("write a build's page: timeline, cache reasons, sizes, logs, comparison; and open it (builds open)")
    .option(
      "-o, --output <path>",
      "the file; without it a temporary one, which a browser opens where there is a display",
    )
    .option("--no-open", "only write the file")
    .addHelpText(
      "after",
      examples([
        ["kiln builds open", "the last build"],
        ["kiln builds open -o report.html ^1", "the one before it, as a file to keep or send"],
      ]),
    );
}

async function run(
  context: CommandContext,
  args: readonly string[],
  options: Readonly<Record<string, unknown>>,
): Promise<void> {
  const { host, signal } = context;
  await using engine = context.openEngine();
  const { store } = engine;
  const all = listBuilds(store);
  const build = findListedBuild(all, args[0]);
  const { report, status } = build;
  const before = buildBefore(all, build)?.report;
  const logs = readLogs(
    // A failed step's log comes first: it is what the page is opened for.
    [...report.steps]
      .toSorted((a, b) => Number(b.state === "failed") - Number(a.state === "failed"))
      .flatMap(({ log }) => log ?? []),
    (name) => store.logs.pathOf(name),
  );
  // Resources have their own place on the page.
  const changesOf = (step: ReportedStep): readonly string[] => explainDetails({ ...step, usage: undefined });
  const contents = await layerContents(report, engine, signal);
  const data = pageData({ report, status, name: nameOfBuild(report), before, changesOf, logs, ...contents });
  const document = reportDocument(readFileSync(join(host.partsDirectory, "report.html"), "utf8"), data);
  const { output } = options;
  if (typeof output === "string") {
    await writeResultFile(context, "--output", output, document);
    context.print(resolve(host.workingDirectory, output));
    return;
  }
  const path = temporaryPage(context, report.id, document);
  context.print(path);
  const hasDisplay = Boolean(host.env["DISPLAY"]) || Boolean(host.env["WAYLAND_DISPLAY"]);
  // A script takes the printed path, and no window shall open under its user's hands.
  if (hasDisplay && host.stdout.isTTY === true && options["open"] !== false) openBrowser(context, path);
}

/** Writes a page where only this user can read it: logs are nobody else's business. */
function temporaryPage({ host }: CommandContext, id: string, document: string): string {
  const directory = join(host.temporaryDirectory, `kiln-builds-${host.uid}-${host.pid}-${host.nowMs().toString(36)}`);
  try {
    // Not recursive: a folder that somebody else made under this name is not ours.
    mkdirSync(directory, { mode: 0o700 });
    const path = join(directory, `build-${id.replaceAll(/[^\w-]/g, "-")}.html`);
    writeFileSync(path, document, { mode: 0o600, flag: "wx" });
    return path;
  } catch (error) {
    throw new BuildError(
      "export/failed",
      `Cannot write a page below ${host.temporaryDirectory}: ${errnoOf(error) ?? "unknown"}`,
      {
        hint: "give a file: kiln builds open -o FILE",
        cause: error,
      },
    );
  }
}

/** Opens the page with the desktop's own browser, and does not wait for it. */
function openBrowser(context: CommandContext, path: string): void {
  const child = spawn("xdg-open", [path], { detached: true, stdio: "ignore" });
  child.on("error", () => context.warn("WARNING: The page is not opened: xdg-open is not installed"));
  child.unref();
}
