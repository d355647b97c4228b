// Records a terminal in which the example is built, changed and built again, into docs/pictures/recording.svg: `npm run
// recording`, after `npm run build`. Times are those of the run; a picture is taken of every change, at most eight a second.
import { spawnSync } from "node:child_process";
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Frame, picture } from "./recording/picture.ts";
import { Terminal } from "./recording/terminal.ts";

const COLUMNS = 88;
const EVERY_MS = 125;
const root = join(import.meta.dirname, "..");
const work = mkdtempSync(join(tmpdir(), "kiln-recording-"));

try {
  cpSync(join(root, "examples/hello"), join(work, "hello"), { recursive: true });
  writeFileSync(join(work, "run.sh"), shellScript());
  const out = join(work, "out");
  const times = join(work, "times");
  const words = ["-qefc", `stty cols ${COLUMNS} rows 40; sh run.sh`, "--log-out", out, "--log-timing", times];
  const env = { ...process.env, KILN: join(root, "bin"), KILN_ROOT: join(work, "store"), TERM: "xterm-256color" };
  const done = spawnSync("script", words, { cwd: work, env, stdio: ["pipe", "ignore", "inherit"], input: "" });
  if (done.status !== 0) throw new Error(`recording: the run failed:\n${readFileSync(out, "utf8")}`);
  const frames = framesOf(readFileSync(out), readFileSync(times, "utf8"));
  writeFileSync(
    join(root, "docs/pictures/recording.svg"),
    picture(frames, COLUMNS, "A terminal: kiln builds an image, and builds it again after a change, saying why"),
  );
} finally {
  rmSync(work, { recursive: true, force: true });
}

function shellScript(): string {
  return `set -eu
PATH=$KILN:$PATH
mkdir -p base/bin && cp "$(command -v busybox)" base/bin/ && for name in sh sed wc cat echo; do ln -s busybox base/bin/$name; done
kiln import base busybox >/dev/null
printf '\\033[J'
type() { printf '\\033[32m$\\033[0m %s\\n' "$*"; sleep 0.7; "$@"; echo; sleep 1; }
type kiln build -t hello hello
type sed -i s/Hello/Welcome/ hello/src/greeting.txt
type kiln build -t hello hello
type kiln why
`;
}

/** Cuts the output into looks of the window. */
function framesOf(output: Buffer, timing: string): readonly Frame[] {
  // script writes a line of its own at both ends of the log.
  let offset = output.indexOf("\n") + 1;
  const terminal = new Terminal(COLUMNS);
  const decoder = new TextDecoder();
  const frames: Frame[] = [];
  let atMs = 0;
  for (const line of timing.trimEnd().split("\n")) {
    const [seconds = "0", bytes = "0"] = line.split(" ");
    atMs += Number(seconds) * 1000;
    terminal.write(decoder.decode(output.subarray(offset, offset + Number(bytes)), { stream: true }));
    offset += Number(bytes);
    const frame = { atMs: Math.round(atMs), lines: terminal.lines };
    const last = frames.at(-1);
    if (last !== undefined && frame.atMs - last.atMs < EVERY_MS)
      frames[frames.length - 1] = { ...frame, atMs: last.atMs };
    else frames.push(frame);
  }
  const startMs = frames[0]?.atMs ?? 0;
  return frames.map((frame) => ({ ...frame, atMs: frame.atMs - startMs }));
}
