import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { cpSync, mkdirSync, readFileSync, readdirSync, renameSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { PROJECT, busyboxRoot, kiln, missing, mustKiln, temporary } from "./harness.ts";

const why = missing("busybox");
if (why !== undefined) console.warn(`the tests of kiln watch are skipped: ${why}`);

/** A running `kiln watch`, with what it has printed. */
class Watch {
  readonly #child: ChildProcess;
  readonly #ended: Promise<unknown[]>;
  text = "";
  ids = "";

  constructor(root: string, cwd: string, args: readonly string[]) {
    const command = ["--root", root, "watch", ...args];
    this.#child = spawn(join(PROJECT, "bin/kiln"), command, { cwd, stdio: ["ignore", "pipe", "pipe"] });
    this.#ended = once(this.#child, "exit");
    this.#child.stderr?.on("data", (data: Buffer) => (this.text += data.toString()));
    this.#child.stdout?.on("data", (data: Buffer) => (this.ids += data.toString()));
  }

  /** Waits until the output has the text once more than `before` had. */
  async says(what: RegExp): Promise<void> {
    // Another process's output: poll until it is there.
    for (let attempt = 0; attempt < 600 && !what.test(this.text); attempt += 1) await pause(25);
    if (!what.test(this.text)) throw new Error(`kiln watch never said ${what.source}, but:\n${this.text}`);
  }

  forget(): void {
    this.text = "";
  }

  async stop(): Promise<number | null> {
    this.#child.kill("SIGINT");
    const [status] = await this.#ended;
    return typeof status === "number" ? status : null;
  }
}

describe.skipIf(why !== undefined)("kiln watch", { timeout: 60_000 }, () => {
  const folder = temporary();
  const store = join(folder.path, "store");
  const context = join(folder.path, "context");
  const at = (path: string): string => join(context, path);
  const put = (path: string, text: string): void => writeFileSync(at(path), text);
  let running: Watch | undefined;

  beforeAll(() => {
    mustKiln(store, ["import", busyboxRoot(folder.path), "base"]);
  });
  afterEach(async () => {
    await running?.stop();
    running = undefined;
    rmSync(context, { recursive: true, force: true });
  });
  afterAll(() => folder[Symbol.dispose]());

  async function start(args: readonly string[], dockerfile = "FROM scratch\nCOPY . /app/\n"): Promise<Watch> {
    mkdirSync(at("src"), { recursive: true });
    put("Dockerfile", dockerfile);
    put(".dockerignore", "ignored\n**/*.log\nout\n");
    put("src/a.txt", "1");
    running = new Watch(store, folder.path, [...args, "context"]);
    await running.says(/kiln: [0-9a-f]{12}.* in |kiln: written in /);
    running.forget();
    return running;
  }

  test("each kind of change is built, and others are not", async () => {
    const watch = await start(["-t", "app"]);
    const changes: readonly (readonly [change: () => void, says: RegExp])[] = [
      [
        () => put("src/a.txt", "2"),
        /src\/a\.txt changed: [0-9a-f]{12} app:latest in .*\n.*COPY.*src\/a\.txt \(content\)/,
      ],
      [() => [put("src/.a.tmp", "3"), renameSync(at("src/.a.tmp"), at("src/a.txt"))], /src\/a\.txt \(content\)/],
      [() => [mkdirSync(at("p/q/r"), { recursive: true }), put("p/q/r/f", "1")], /p\/q/],
      [() => put("p/q/r/f", "2"), /p\/q\/r\/f \(content\)/],
      [
        () => {
          mkdirSync(join(folder.path, "outside/x/y"), { recursive: true });
          writeFileSync(join(folder.path, "outside/x/y/f"), "1");
          renameSync(join(folder.path, "outside"), at("moved"));
        },
        /moved\/x/,
      ],
      [() => put("moved/x/y/f", "2"), /moved\/x\/y\/f \(content\)/],
      [() => renameSync(at("moved"), at("named")), /moved.* and |named/],
      [() => put("named/x/y/f", "3"), /named\/x\/y\/f \(content\)/],
      [() => symlinkSync("/etc", at("link")), /link \(added\)/],
      [() => put("src/b.txt", "1"), /src\/b\.txt \(added\)/],
      [() => rmSync(at("src/b.txt")), /src\/b\.txt changed: [0-9a-f]{12}/],
      [() => put("Dockerfile", "FROM scratch\nCOPYY\n"), /COPYY[^]*the build failed/],
      [() => put("Dockerfile", "FROM scratch\nCOPY src /app/\nLABEL a=b\n"), /Dockerfile changed: [0-9a-f]{12}/],
      [() => put(".dockerignore", "src/a.txt\n"), /\.dockerignore changed: [0-9a-f]{12}/],
      [() => put("src/c.log", "no longer ignored"), /c\.log \(added\)/],
    ];
    for (const [change, says] of changes) {
      watch.forget();
      change();
      await watch.says(says);
      await watch.says(/ in \d|failed after/);
    }
    watch.forget();
    put("src/a.txt", "now ignored");
    mkdirSync(at("x"));
    await watch.says(/x changed/);
    expect(watch.text).not.toContain("a.txt");
  });

  test("a checkout of thousands of files is one or a few builds, and the last one has all of them", async () => {
    const watch = await start(["-t", "many"], "FROM scratch\nCOPY . /\n");
    for (let at_ = 0; at_ < 3000; at_ += 1) {
      if (at_ % 100 === 0) mkdirSync(at(`d${at_ / 100}/e/f`), { recursive: true });
      put(`d${Math.floor(at_ / 100)}/e/f/${at_}`, "1");
    }
    await watch.says(/changed: [0-9a-f]{12}/);
    // The looks after a burst.
    await pause(3000);
    mustKiln(store, ["export", "-o", join(folder.path, "many.tar"), "many"]);
    const names = readFileSync(join(folder.path, "many.tar"))
      .toString("latin1")
      .match(/d\d+\/e\/f\/\d+\0/g);
    expect(new Set(names).size).toBe(3000);
    watch.forget();
    put("d7/e/f/700", "2");
    await watch.says(/d7\/e\/f\/700 \(content\)/);
  });

  test("a context that goes away and comes back is watched again", async () => {
    const watch = await start([]);
    cpSync(context, join(folder.path, "copy"), { recursive: true });
    rmSync(context, { recursive: true });
    await watch.says(/not-found/);
    renameSync(join(folder.path, "copy"), context);
    await watch.says(/[0-9a-f]{12} in|nothing is new/);
    await pause(700);
    watch.forget();
    put("src/a.txt", "back");
    await watch.says(/src\/a\.txt \(content\)/);
    expect(watch.text).not.toContain("failed");
  });

  test("a Dockerfile behind a link, in a context behind a link", async () => {
    const shared = join(folder.path, "shared.Dockerfile");
    mkdirSync(at("src"), { recursive: true });
    put("src/a.txt", "1");
    writeFileSync(shared, "FROM scratch\nCOPY src /app/\n");
    symlinkSync("../shared.Dockerfile", at("Dockerfile"));
    symlinkSync("context", join(folder.path, "link"));
    const watch = new Watch(store, folder.path, ["link"]);
    running = watch;
    await watch.says(/[0-9a-f]{12} in/);
    watch.forget();
    writeFileSync(shared, "FROM scratch\nCOPY src /other/\n");
    await watch.says(/shared\.Dockerfile changed: [0-9a-f]{12}/);
    put("src/a.txt", "2");
    await watch.says(/link\/src\/a\.txt changed: /);
    expect(watch.text).not.toContain("failed");
  });

  test("what it writes itself into the context is not a change", async () => {
    const args = ["-o", "context/files", "-o", "type=oci,dest=context/app.tar", "--metadata-file", "context/meta.json"];
    const watch = await start([...args, "--iidfile", "context/iid"], "FROM scratch\nCOPY src /app/\n");
    put("src/a.txt", "2");
    await watch.says(/src\/a\.txt changed: /);
    await pause(500);
    expect(watch.text.match(/changed/g)).toHaveLength(1);
    expect(readFileSync(at("files/app/a.txt"), "utf8")).toBe("2");
  });

  test.each([
    [["-o", ".", "context"], /Cannot watch .* and write into/],
    [["-"], /it is no directory/],
    [["https://example.org/x.git"], /it is no directory/],
    [["nowhere"], /path "nowhere" not found/],
    [["context", "npm", "start"], /a command for the image needs --run/],
    [["--run", "-o", "out", "context"], /it is not kept in the store/],
  ])("kiln watch %j is refused", (args, says) => {
    mkdirSync(context, { recursive: true });
    const { status, stderr } = kiln(store, ["watch", ...args], { cwd: folder.path });
    expect({ status, stderr }).toEqual({ status: expect.toBeOneOf([1, 125]), stderr: expect.stringMatching(says) });
  });

  test("--run has one container, of the newest image, and Ctrl-C leaves nothing behind", async () => {
    const dockerfile = "FROM base\nCOPY src /src/\nCMD cat /src/a.txt >&2; sleep 98767 & wait\n";
    const watch = await start(["--run"], dockerfile);
    const sleepers = (): number =>
      readdirSync("/proc").filter((pid) => {
        try {
          return /^\d+$/.test(pid) && readFileSync(`/proc/${pid}/cmdline`, "latin1").includes("sleep\u000098767");
        } catch {
          return false; // it has just ended
        }
      }).length;
    for (const text of ["second", "third"]) {
      put("src/a.txt", text);
      await watch.says(new RegExp(text));
    }
    for (let attempt = 0; attempt < 100 && sleepers() !== 1; attempt += 1) await pause(25);
    expect(sleepers()).toBe(1);
    expect(await watch.stop()).toBe(130);
    running = undefined;
    expect(sleepers()).toBe(0);
    expect(readdirSync(join(store, "running"))).toEqual(["lock"]);
  });

  test("--exec runs after each good build, and the next one ends it", async () => {
    const log = join(folder.path, "log");
    const watch = await start(["-t", "ex", "--exec", `echo "$KILN_IMAGE" >> ${log}; sleep 98768 & sleep 98768`]);
    const lines = async (count: number): Promise<string> => {
      const read = (): string => readFileSync(log, { encoding: "utf8", flag: "a+" });
      for (let attempt = 0; attempt < 400 && read().split("\n").length <= count; attempt += 1) await pause(25);
      return read();
    };
    expect(await lines(1)).toBe("ex:latest\n");
    put("src/a.txt", "2");
    expect(await lines(2)).toBe("ex:latest\nex:latest\n");
    expect(await watch.stop()).toBe(130);
    running = undefined;
    const left = readdirSync("/proc").filter((pid) => {
      try {
        return /^\d+$/.test(pid) && readFileSync(`/proc/${pid}/cmdline`, "latin1").includes("sleep\u000098768");
      } catch {
        return false; // it has just ended
      }
    });
    expect(left).toEqual([]);
  });
});
