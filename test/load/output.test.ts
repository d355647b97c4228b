import { readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { missing } from "../e2e/harness.ts";
import { useFreshStore } from "../robust/fresh-store.ts";
import { writeContext } from "../robust/kiln-process.ts";
import { runMeasured } from "./measured.ts";
import { isWhole, SIZES } from "./sizes.ts";

const why = missing("busybox");
if (why !== undefined) console.warn(`tests of much output are skipped: ${why}`);

const { lines, lineBytes } = SIZES;
/** Resident size that a build with any amount of output stays below; an idle one takes a fourth. */
const MAX_RESIDENT = 400_000_000;

describe.skipIf(why !== undefined)("much output", { timeout: isWhole ? 600_000 : 60_000 }, () => {
  let store: string;
  let context: string;
  useFreshStore((fresh) => ({ store, context } = fresh));

  const logs = (): readonly string[] => readdirSync(join(store, "logs")).map((name) => join(store, "logs", name));

  test.each(isWhole ? ["plain", "plain-in-order", "events", "rawjson"] : ["plain", "rawjson"])(
    `${lines} lines of two commands as fast as they can: --progress=%s shows each, in order`,
    async (mode) => {
      writeContext(context, {
        Dockerfile: [
          "FROM busybox AS left",
          `RUN seq 1 ${lines} | sed s/^/left-/`,
          "FROM busybox AS right",
          `RUN seq 1 ${lines} | sed s/^/right-/ >&2`,
          "FROM scratch",
          "COPY --from=left /etc/passwd /left",
          "COPY --from=right /etc/passwd /right",
          "",
        ].join("\n"),
      });
      const counter = new LineCounter(mode);
      const { status, peakBytes } = await runMeasured(
        store,
        ["build", `--progress=${mode}`, "-o", "type=cacheonly", context],
        (chunk) => counter.take(chunk.toString("latin1")),
      );
      expect({ status, seen: counter.end() }).toEqual({ status: 0, seen: { left: lines, right: lines } });
      const isHolding = mode === "plain-in-order" && isWhole;
      expect(peakBytes).toBeLessThan(isHolding ? 2 * MAX_RESIDENT : MAX_RESIDENT);
      const kept = logs().map((path) => readFileSync(path, "latin1").split("\n"));
      expect(kept.map(({ length }) => length - 1)).toEqual([lines, lines]);
      expect(kept.map((each) => each.at(-2)?.replace(/^.*-/, ""))).toEqual([`${lines}`, `${lines}`]);
    },
  );

  test.each(isWhole ? ["plain", "tty", "quiet", "events"] : ["plain", "tty"])(
    `${lineBytes} bytes on one line: --progress=%s stays small, and the log has all of it`,
    async (mode) => {
      writeContext(context, {
        Dockerfile: `FROM busybox\nRUN head -c ${lineBytes} /dev/zero | tr '\\0' x; echo; echo last\n`,
      });
      let shown = 0;
      let tail = "";
      const { status, peakBytes } = await runMeasured(
        store,
        ["build", `--progress=${mode}`, "-o", "type=cacheonly", context],
        (chunk) => {
          const text = chunk.toString("latin1");
          for (const [run] of text.matchAll(/x{100,}/g)) shown += run.length;
          tail = (tail + text).slice(-10_000);
        },
      );
      expect(status).toBe(0);
      expect(peakBytes).toBeLessThan(MAX_RESIDENT);
      expect(logs().map((path) => statSync(path).size)).toEqual([lineBytes + "\nlast\n".length]);
      if (mode === "plain" || mode === "events") {
        // Shorter runs, at the border of two pieces, are not counted.
        expect(shown).toBeGreaterThan(lineBytes * 0.98);
        expect(tail).toContain("last");
      }
    },
  );
});

/** Counts the lines that a display shows of the two commands, as long as each follows the one before. */
class LineCounter {
  readonly #mode: string;
  readonly #seen = { left: 0, right: 0 };
  /** Unfinished text, by vertex where lines are cut anywhere. */
  readonly #open = new Map<string, string>();

  constructor(mode: string) {
    this.#mode = mode;
  }

  take(text: string): void {
    for (const line of this.#linesOf("display", text)) {
      if (this.#mode !== "events" && this.#mode !== "rawjson") {
        this.#count(line);
        continue;
      }
      for (const { id, data } of outputIn(line)) for (const shown of this.#linesOf(id, data)) this.#count(shown);
    }
  }

  end(): { readonly left: number; readonly right: number } {
    return this.#seen;
  }

  #linesOf(name: string, text: string): readonly string[] {
    const whole = ((this.#open.get(name) ?? "") + text).split("\n");
    this.#open.set(name, whole.pop() ?? "");
    return whole;
  }

  #count(line: string): void {
    const [, side, number] = /(?:^|\s)(left|right)-(\d+)$/.exec(line) ?? [];
    if ((side === "left" || side === "right") && Number(number) === this.#seen[side] + 1) this.#seen[side] += 1;
  }
}

/** Reads the output of commands in a line of `events` or of BuildKit's form. */
function outputIn(line: string): readonly { readonly id: string; readonly data: string }[] {
  if (!line.startsWith("{")) return [];
  const value = JSON.parse(line) as {
    readonly kind?: string;
    readonly id?: string;
    readonly data?: string;
    readonly logs?: readonly { readonly vertex: string; readonly data: string }[];
  };
  if (value.kind === "log") return [{ id: value.id ?? "", data: value.data ?? "" }];
  return (value.logs ?? []).map(({ vertex, data }) => ({ id: vertex, data: Buffer.from(data, "base64").toString() }));
}
