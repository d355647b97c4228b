import { execFileSync } from "node:child_process";
import { chmodSync, chownSync, linkSync, lutimesSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { AT_FDCWD } from "../../lib/native/constants.ts";
import { locateNative } from "../../lib/native/locate.ts";
import { missing, mustKiln, temporary } from "../e2e/harness.ts";
import { importBusybox, writeContext } from "./kiln-process.ts";

const why = missing("busybox");
if (why !== undefined) console.warn(`the property of warm and empty stores is skipped: ${why}`);
/** Set it higher for a long run. */
const RUNS = Number(process.env["KILN_PROPERTY_RUNS"] ?? 12);

const NAMES = ["a", "b", "d/a", "d/b", "d/e/f"] as const;
const name = fc.constantFrom(...NAMES);
type Change =
  | {
      readonly kind: "content" | "mode" | "owner" | "attribute" | "link" | "hard link" | "gone" | "again";
      readonly name: (typeof NAMES)[number];
    }
  | { readonly kind: "date" | "order" | "--chown" };
const change: fc.Arbitrary<Change> = fc.oneof(
  fc.record({
    kind: fc.constantFrom("content", "mode", "owner", "attribute", "link", "hard link", "gone", "again"),
    name,
  }),
  fc.record({ kind: fc.constantFrom("date", "order", "--chown") }),
);

/** Steps that leave no file with the time of the build. */
const STEPS = [
  "COPY . /all",
  "COPY d /d",
  "COPY --chmod=640 a* /m",
  "COPY --link d/ /linked",
  "COPY --chown=$OWNER --chmod=u=rw,go=r . /owned",
  "ADD --link --chown=$OWNER d/a /owned-link/",
  "COPY --from=made /made /from",
  "ADD d/a /added",
  "WORKDIR /w/x",
  'RUN touch -d "$DATE" /dated',
  "RUN find / -xdev -name '[abf]' -newer /bin/busybox > /newer; touch -d @5 /newer",
  "RUN find /all /d /m /linked /owned /from /added -exec stat -c '%n %a %u %h' {} + > /listed 2>/dev/null; touch -d @6 /listed",
  "RUN --mount=from=made,source=/made,target=/mnt cat /mnt/* > /seen; rmdir /mnt; touch -d @7 /seen",
  "RUN chmod -R go-w /d 2>/dev/null; true",
] as const;

describe.skipIf(why !== undefined)("a warm store", { timeout: 600_000 }, () => {
  const folder = temporary();
  const native = locateNative();
  const at = (...names: string[]): string => join(folder.path, ...names);
  beforeAll(() => {
    importBusybox(at("pristine"), at("scratch"));
  });
  afterAll(() => folder[Symbol.dispose]());

  function fresh(store: string): string {
    rmSync(at(store), { recursive: true, force: true });
    execFileSync("cp", ["-a", at("pristine"), at(store)]);
    return at(store);
  }
  function image(store: string, args: Readonly<Record<string, string>>): Buffer {
    const tar = at("image.tar");
    const given = Object.entries({ SOURCE_DATE_EPOCH: "1000", ...args }).flatMap(([key, value]) => [
      "--build-arg",
      `${key}=${value}`,
    ]);
    mustKiln(store, ["build", "-q", ...given, "-o", `type=docker,dest=${tar},rewrite-timestamp=true`, at("context")]);
    return readFileSync(tar);
  }
  function write(steps: readonly string[]): void {
    const made = ["FROM busybox AS made", "ARG DATE", 'RUN mkdir /made && echo x >/made/a && touch -d "$DATE" /made/a'];
    const lines = [...made, "FROM busybox", "ARG DATE", "ARG OWNER", ...steps, ""];
    writeContext(at("context"), { Dockerfile: lines.join("\n"), ".dockerignore": "Dockerfile\n.dockerignore\n" });
  }
  /** Gives all files of the context fixed times through all changes, because times do not count in a key. */
  function dateAll(): void {
    const paths = execFileSync("find", [at("context")], { encoding: "utf8" })
      .trim()
      .split("\n");
    for (const path of paths) lutimesSync(path, 500, 500);
  }

  test("gives the image of an empty one", () => {
    fc.assert(
      fc.property(fc.shuffledSubarray([...STEPS], { minLength: 2, maxLength: 6 }), change, (steps, changed) => {
        rmSync(at("context"), { recursive: true, force: true });
        const kept = writeContext(at("context"), Object.fromEntries(NAMES.map((one) => [one, `${one}\n`])));
        let lines: readonly string[] = steps;
        const args = { DATE: "1970-01-01 00:05:00", OWNER: "3:4" };
        write(lines);
        dateAll();
        const warm = fresh("warm");
        image(warm, args);
        if (!("name" in changed)) {
          if (changed.kind === "date") args.DATE = "1970-01-01 00:06:00";
          else if (changed.kind === "--chown") args.OWNER = "3:5";
          else lines = steps.toReversed();
        } else {
          const path = join(kept, changed.name);
          if (changed.kind === "mode") chmodSync(path, 0o755);
          else if (changed.kind === "owner") chownSync(path, 7, 8);
          else if (changed.kind === "attribute") native.setXattr(AT_FDCWD, path, "user.kind", Buffer.from("1"));
          else if (changed.kind === "content") writeFileSync(path, "other\n");
          else if (changed.kind === "again") writeFileSync(path, `${changed.name}\n`);
          else {
            rmSync(path);
            if (changed.kind === "link") symlinkSync("a", path);
            if (changed.kind === "hard link") linkSync(join(kept, changed.name === "b" ? "a" : "b"), path);
            // At least one file that is copied by name must remain.
            if (changed.kind === "gone") writeFileSync(`${path}2`, "");
          }
        }
        write(lines);
        dateAll();
        const build = (store: string): string => {
          try {
            return image(store, args).toString("base64");
          } catch (error) {
            return String(error)
              .replaceAll(store, "")
              .replace(/#\d+ [^\n]*/g, "")
              .slice(0, 60);
          }
        };
        const found = build(warm);
        expect(found === build(fresh("cold"))).toBe(true);
      }),
      { numRuns: RUNS, seed: 42 },
    );
  });
});
