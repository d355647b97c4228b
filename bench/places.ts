/**
 * Times the same builds in every place that test/e2e/places knows, in turns, and prints what each takes as a ratio to root's: the
 * shortest of several rounds. Needs root, Debian's mmdebstrap, and what the places need.
 *
 *     sh scripts/pinned.sh node bench/places.ts [ROUNDS]
 */
import { chmodSync, cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { debianTar } from "../test/e2e/harness.ts";
import { type Place, PLACES } from "../test/e2e/places/places.ts";

const WORK: Readonly<Record<string, readonly string[]>> = {
  tar: ["RUN mkdir /x && tar -C /usr -cf - . | tar -C /x -xf -"],
  apt: [
    "RUN --mount=type=cache,target=/var/cache/apt --mount=type=cache,target=/var/lib/apt/lists apt-get update -q && apt-get install -qy --no-install-recommends git openssh-client",
  ],
  "12 x RUN": Array.from({ length: 12 }, (_, index) => `RUN echo ${index} > /f${index}`),
};

const rounds = Number(process.argv[2] ?? 3);
const folder = mkdtempSync(join(tmpdir(), "kiln-bench-places-"));
chmodSync(folder, 0o755);
try {
  const places = PLACES.filter(({ runs, why }) => runs && why === undefined);
  for (const place of places) prepare(place);
  const shortest = new Map<string, number>();
  for (let round = 0; round < rounds; round += 1) {
    for (const place of places) {
      for (const [key, ms] of timesIn(place)) shortest.set(key, Math.min(ms, shortest.get(key) ?? Infinity));
    }
  }
  const names = Object.keys(WORK);
  console.log(`| where | ${names.join(" | ")} |`);
  for (const place of places) {
    const cells = names.map((name) => {
      const [ms, root] = [shortest.get(`${place.name} ${name}`) ?? NaN, shortest.get(`root ${name}`) ?? NaN];
      return `${Math.round(ms)} ms, ${(ms / root).toFixed(2)}`;
    });
    console.log(`| ${place.name} | ${cells.join(" | ")} |`);
  }
} finally {
  rmSync(folder, { recursive: true, force: true });
}

function homeOf(place: Place): string {
  return join(folder, place.name.replaceAll(/\W+/g, "-"));
}

/** Imports the base image, and builds once so that every cache that stays is full. */
function prepare(place: Place): void {
  const home = homeOf(place);
  mkdirSync(home);
  chmodSync(home, 0o777);
  cpSync(debianTar(), join(home, "base.tar"));
  for (const [index, lines] of Object.values(WORK).entries()) {
    mkdirSync(join(home, `${index}`));
    writeFileSync(join(home, `${index}/Dockerfile`), ["FROM base", ...lines, ""].join("\n"));
  }
  const builds = Object.keys(WORK).map((_, index) => `$KILN build -q ${home}/${index} > /dev/null`);
  must(place, ["set -e", `$KILN import ${home}/base.tar base > /dev/null`, ...builds].join("\n"));
}

/** Milliseconds of each piece of work, by place and name. */
function timesIn(place: Place): readonly (readonly [key: string, ms: number])[] {
  const timed = Object.keys(WORK).map(
    (_, index) =>
      `s=$(date +%s%N); $KILN build --no-cache -q ${homeOf(place)}/${index} > /dev/null; echo $((($(date +%s%N) - s) / 1000000))`,
  );
  const lines = must(place, ["set -e", ...timed].join("\n"))
    .trim()
    .split("\n");
  return Object.keys(WORK).map((name, index) => [`${place.name} ${name}`, Number(lines[index])]);
}

function must(place: Place, script: string): string {
  const { status, stdout, stderr } = place.sh(homeOf(place), script);
  if (status !== 0) throw new Error(`${place.name}: ${stdout}${stderr}`);
  return stdout;
}
