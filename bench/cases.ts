import { appendFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

/** One timed piece of work. Contexts use `ARG BASE` so that every builder gets the same base image. */
export type Case = {
  readonly name: string;
  /** Budget, as in the design's table. */
  readonly budget: string;
  readonly cache: "use" | "skip";
  /** True for work that only kiln is timed on: too slow or too different elsewhere. */
  readonly alone?: boolean;
  /** True for work that takes too long to be timed unless it is asked for. */
  readonly onlyByName?: boolean;
  /** Pushes the result to the registry with this compression instead of keeping it. */
  readonly push?: "gzip" | "zstd";
  readonly runs?: number;
  write(directory: string, file: (path: string, data: string | Uint8Array) => void): void;
  /** Changes the context before every round. */
  change?(directory: string, round: number): void;
};

const HEAD = "ARG BASE\nFROM ${BASE}\n";

const twelveSteps = `${HEAD}${[
  "ARG VERSION=1",
  "ENV A=1 B=2",
  "WORKDIR /app",
  "COPY a.txt .",
  "RUN cat a.txt",
  "COPY src/ src/",
  "RUN ls src > list",
  "RUN echo $VERSION > version",
  "COPY b.txt c.txt ./",
  "RUN cat b.txt c.txt > d.txt",
  "LABEL done=yes",
  'CMD ["cat", "d.txt"]',
].join("\n")}\n`;

type WriteFile = (path: string, data: string) => void;

const pathOf = (n: number): string => `tree/${Math.floor(n / 10_000)}/${Math.floor(n / 100)}/${n}.txt`;

/** Returns the cases of a context of `count` files, one tenth of a kilobyte to one and a half each. */
function contextCases(count: number, budgets: { cold: string; unchanged: string; changed: string }): readonly Case[] {
  const title = `${count.toLocaleString("en")}-file context`;
  const runs = count > 10_000 ? 3 : undefined;
  const shared = { cache: "use", ...(runs === undefined ? {} : { runs }) } as const;
  const write = (_directory: string, file: WriteFile): void => {
    for (let n = 0; n < count; n += 1) file(pathOf(n), `file ${n}\n`.repeat(1 + (n % 150)));
    file("Dockerfile", `${HEAD}COPY tree/ /tree/\n`);
  };
  return [
    {
      ...shared,
      name: `${title}, cold`,
      budget: budgets.cold,
      cache: "skip",
      write,
      // A builder's memory of earlier files does not help when all files are new.
      change(directory, round) {
        for (let n = 0; n < count; n += 1) {
          writeFileSync(join(directory, pathOf(n)), `file ${n} in round ${round}\n`.repeat(1 + (n % 150)));
        }
      },
    },
    { ...shared, name: `${title}, unchanged`, budget: budgets.unchanged, write },
    {
      ...shared,
      name: `${title}, one file changed`,
      budget: budgets.changed,
      write,
      change: (directory, round) => appendFileSync(join(directory, pathOf(count / 2)), `round ${round} ${directory}\n`),
    },
  ];
}

/** A million files: an hour of work for some builders, and so only timed when it is named. */
const MILLION: readonly Case[] = contextCases(1_000_000, { cold: "-", unchanged: "3 s", changed: "-" })
  .filter(({ name }) => name.endsWith("unchanged"))
  .map((each) => ({ ...each, alone: true, onlyByName: true }));

export const CASES: readonly Case[] = [
  {
    name: "nothing changed, 12 steps",
    budget: "45 ms",
    cache: "use",
    runs: 15,
    write(_, file) {
      file("Dockerfile", twelveSteps);
      for (const name of ["a.txt", "b.txt", "c.txt", "src/x", "src/y"]) file(name, `${name}\n`);
    },
  },
  {
    name: "10 x RUN echo, no cache",
    budget: "130 ms",
    cache: "skip",
    write(_, file) {
      file("Dockerfile", HEAD + Array.from({ length: 10 }, (_line, n) => `RUN echo ${n}\n`).join(""));
    },
  },
  ...contextCases(10_000, { cold: "0.35 s", unchanged: "0.10 s", changed: "0.20 s" }),
  ...contextCases(100_000, { cold: "linear", unchanged: "linear", changed: "linear" }),
  ...MILLION,
  {
    name: "RUN writes 30,000 small files, no cache",
    budget: "1.3 s",
    cache: "skip",
    write(_, file) {
      file(
        "Dockerfile",
        `${HEAD}RUN mkdir /many && cd /many && for d in $(seq 300); do mkdir $d; for f in $(seq 100); do echo $d $f > $d/$f; done; done\n`,
      );
    },
  },
  {
    name: "RUN writes 512 MB random, local store",
    budget: "cmd + 0.5 s",
    cache: "skip",
    runs: 3,
    write: (_, file) => file("Dockerfile", `${HEAD}RUN dd if=/dev/urandom of=/big bs=1M count=512 2>/dev/null\n`),
  },
  {
    name: "RUN writes 512 MB random, pushed with gzip",
    budget: "0.7x",
    cache: "skip",
    push: "gzip",
    runs: 3,
    write: (_, file) => file("Dockerfile", `${HEAD}RUN dd if=/dev/urandom of=/big bs=1M count=512 2>/dev/null\n`),
  },
  {
    name: "RUN writes 512 MB random, pushed with zstd",
    budget: "0.35x",
    cache: "skip",
    push: "zstd",
    runs: 3,
    write: (_, file) => file("Dockerfile", `${HEAD}RUN dd if=/dev/urandom of=/big bs=1M count=512 2>/dev/null\n`),
  },
  {
    name: "RUN writes 512 MB of text, pushed with gzip",
    budget: "0.7x",
    cache: "skip",
    push: "gzip",
    runs: 3,
    write: (_, file) => file("Dockerfile", `${HEAD}RUN seq 1 80000000 | head -c 536870912 > /big\n`),
  },
  {
    name: "RUN writes 512 MB of text, pushed with zstd",
    budget: "0.7x",
    cache: "skip",
    push: "zstd",
    runs: 3,
    write: (_, file) => file("Dockerfile", `${HEAD}RUN seq 1 80000000 | head -c 536870912 > /big\n`),
  },
  {
    name: "RUN writes 256 MB random, then one sleeps 5 s, pushed with gzip",
    budget: "cmd + 0.5 s",
    cache: "skip",
    push: "gzip",
    runs: 3,
    write(_, file) {
      const big = "RUN dd if=/dev/urandom of=/big bs=1M count=256 2>/dev/null";
      file("Dockerfile", `${HEAD}${big}\nRUN sleep 5\n`);
    },
  },
  {
    name: "four stages of sleep 1",
    budget: "1.10 s",
    cache: "skip",
    runs: 3,
    write(_, file) {
      const stages = ["a", "b", "c", "d"].map(
        (name) => `FROM \${BASE} AS ${name}\nRUN sleep 1 && echo ${name} > /${name}\n`,
      );
      const copies = ["a", "b", "c", "d"].map((name) => `COPY --from=${name} /${name} /\n`);
      file("Dockerfile", `ARG BASE\n${stages.join("")}FROM \${BASE}\n${copies.join("")}`);
    },
  },
  {
    name: "1,000 stages x 10 steps, all cached",
    budget: "0.5 s",
    cache: "use",
    alone: true,
    write(_, file) {
      const stage = (n: number): string =>
        `FROM \${BASE} AS s${n}\n${Array.from({ length: 9 }, (_line, step) => `ENV V${step}=${n}\n`).join("")}WORKDIR /w${n}\n`;
      const stages = Array.from({ length: 1000 }, (_stage, n) => stage(n));
      const copies = Array.from({ length: 1000 }, (_copy, n) => `COPY --from=s${n} /w${n} /w${n}\n`);
      // An image may have only so many layers, and that limit is not under test: the last stage collects in groups.
      const groups = Array.from(
        { length: 10 },
        (_group, g) => `FROM \${BASE} AS g${g}\n${copies.slice(g * 100, g * 100 + 100).join("")}`,
      );
      const last = `FROM \${BASE}\n${Array.from({ length: 10 }, (_group, g) => `COPY --from=g${g} / /g${g}\n`).join("")}`;
      file("Dockerfile", `ARG BASE\n${stages.join("")}${groups.join("")}${last}`);
    },
  },
];
