import fc from "fast-check";
import { expect, test } from "vitest";
import { rawMembers } from "./raw-members.ts";
import { planSplit, splitTar } from "./split.ts";
import { dir, link, type Member, symlink, tarOf } from "./testing.ts";

const KB = 1 << 10;
const file = (path: string, bytes: number): Member => ({ path, content: "x".repeat(bytes) });

async function whole(chunks: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const all: Uint8Array[] = [];
  for await (const chunk of chunks) all.push(chunk);
  return Buffer.concat(all);
}

async function* inPieces(bytes: Buffer, size: number): AsyncGenerator<Buffer> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}

async function split(members: readonly Member[], partBytes: number, piece = 10_000): Promise<readonly Buffer[]> {
  const tar = await whole(tarOf(members));
  const plan = await planSplit(inPieces(tar, piece), partBytes);
  return splitTar(inPieces(tar, piece), plan, (_, bytes) => whole(bytes));
}

async function namesOf(tar: Buffer): Promise<readonly string[]> {
  const names: string[] = [];
  for await (const event of rawMembers(inPieces(tar, 777))) if (event.kind === "member") names.push(event.member.path);
  return names;
}

const split4 = async (members: readonly Member[]): Promise<readonly (readonly string[])[]> =>
  Promise.all((await split(members, 4 * KB)).map(namesOf));

test.each([
  { name: "a small layer", members: [dir("d"), file("d/a", 10)], parts: [["d", "d/a"]] },
  {
    name: "files beyond the size",
    members: [dir("d"), file("d/a", KB), file("d/b", KB), file("d/c", KB)],
    parts: [
      ["d", "d/a"],
      ["d", "d/b"],
      ["d", "d/c"],
    ],
  },
  {
    name: "a file that is larger than a part",
    members: [dir("d"), file("d/a", 9), file("d/b", 9 * KB), file("d/c", 9)],
    parts: [
      ["d", "d/a"],
      ["d", "d/b"],
      ["d", "d/c"],
    ],
  },
  {
    name: "the names of one file",
    members: [dir("d"), file("d/a", KB), file("d/b", KB), link("d/z", "d/a"), file("e", 9)],
    parts: [
      ["d", "d/a", "d/z"],
      ["d", "d/b", "e"],
    ],
  },
  {
    name: "marks",
    members: [
      dir("d"),
      file("d/.wh..wh..opq", 0),
      file("d/a", 2 * KB),
      dir("e"),
      file("e/.wh.x", 0),
      symlink("l", "d"),
    ],
    parts: [["d", "d/.wh..wh..opq", "e", "e/.wh.x"], ["d", "d/a"], ["l"]],
  },
  {
    name: "empty directories, and those above them",
    members: [dir("a"), dir("a/b"), dir("a/b/c"), dir("d")],
    parts: [["a", "a/b", "a/b/c", "d"]],
  },
])("$name", async ({ members, parts }) => {
  expect(await split4(members)).toEqual(parts);
});

test("whatever the tree, its members are in the parts once, byte for byte, and no part is too large", async () => {
  const name = fc.constantFrom("a", "b", "c", ".wh.d", "e".repeat(120));
  const anyPath = fc.array(name, { minLength: 1, maxLength: 4 }).map((names) => names.join("/"));
  const entries = fc.uniqueArray(fc.record({ path: anyPath, bytes: fc.nat(3 * KB), isLink: fc.boolean() }), {
    selector: (entry) => entry.path,
    maxLength: 30,
  });
  await fc.assert(
    fc.asyncProperty(entries, fc.integer({ min: 3 * KB, max: 20 * KB }), async (given, partBytes) => {
      const sorted = given.toSorted((a, b) => (a.path < b.path ? -1 : 1));
      const above = new Set(
        sorted.flatMap(({ path }) => path.split("/").map((_, at, all) => all.slice(0, at).join("/"))),
      );
      const files = sorted.filter((entry) => !above.has(entry.path));
      const [target] = files.filter((entry) => !entry.path.includes(".wh."));
      const members = [
        ...[...above].filter((one) => one !== "").map((one) => dir(one)),
        ...files.map(({ path, bytes, isLink }) =>
          isLink && target !== undefined && target.path < path && !path.includes(".wh.")
            ? link(path, target.path)
            : file(path, bytes),
        ),
      ].toSorted((a, b) => (a.path < b.path ? -1 : 1));
      const parts = await split(members, partBytes);
      const tars = await Promise.all(parts.map(namesOf));
      const directories = new Set(members.filter(({ type }) => type === "directory").map((one) => one.path));
      const seen = tars.flatMap((names) => names.filter((one) => !directories.has(one)));
      expect(seen.toSorted()).toEqual(
        members
          .map((one) => one.path)
          .filter((one) => !directories.has(one))
          .toSorted(),
      );
      expect(new Set(tars.flat())).toEqual(new Set(members.map((one) => one.path)));
      for (const [index, names] of tars.entries()) {
        const others = names.filter((one) => !directories.has(one));
        if ((parts[index]?.length ?? 0) > partBytes) {
          const links = members.filter((one) => one.type === "link").map((one) => one.path);
          expect(others.filter((one) => !links.includes(one)).length).toBeLessThanOrEqual(1);
        }
      }
      // One part is the layer itself.
      if (parts.length === 1) expect(parts[0]).toEqual(await whole(tarOf(members)));
      expect(await split(members, partBytes, 512)).toEqual(parts);
    }),
    { numRuns: 100 },
  );
});

test("a writer that fails ends the split", async () => {
  const tar = await whole(tarOf([file("a", 9 << 20), file("b", 9 << 20)]));
  const plan = await planSplit(inPieces(tar, 1 << 20), 10 << 20);
  expect(plan.parts).toBe(2);
  const failing = splitTar(inPieces(tar, 1 << 20), plan, async () => {
    throw new Error("disk full");
  });
  await expect(failing).rejects.toThrow("disk full");
});

test.each([
  { what: "damaged", bytes: Buffer.alloc(1024, 7) },
  { what: "cut", bytes: undefined },
])("a $what tar is refused", async ({ bytes }) => {
  const tar = bytes ?? (await whole(tarOf([file("a", 5000)]))).subarray(0, 2048);
  await expect(planSplit(inPieces(tar, 100), 10_000)).rejects.toMatchObject({ code: "archive/malformed" });
});
