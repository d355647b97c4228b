import { BLOCK, paddingOf, type TarEntry } from "./entry.ts";
import { encodeHeader } from "./header-write.ts";

/** What a test says of a member; the rest is a plain file of the test's own user. */
export type Member = Partial<Omit<TarEntry, "xattrs">> & {
  readonly path: string;
  readonly content?: string;
  readonly xattrs?: Record<string, Buffer>;
};

/** A tar, hostile ones too: nothing is checked. */
export async function* tarOf(members: readonly Member[]): AsyncGenerator<Buffer, void> {
  for (const { content = "", xattrs = {}, ...member } of members) {
    const entry: TarEntry = {
      type: "file",
      mode: 0o644,
      uid: process.getuid?.() ?? 0,
      gid: process.getgid?.() ?? 0,
      mtimeNs: 0n,
      linkName: "",
      deviceMajor: 0,
      deviceMinor: 0,
      ...member,
      size: Buffer.byteLength(content),
      xattrs: new Map(Object.entries(xattrs)),
    };
    yield encodeHeader(entry);
    yield Buffer.from(content);
    yield Buffer.alloc(paddingOf(entry.size));
  }
  yield Buffer.alloc(2 * BLOCK);
}

export const dir = (path: string, more: Partial<Member> = {}): Member => ({
  path,
  type: "directory",
  mode: 0o755,
  ...more,
});
export const link = (path: string, linkName: string): Member => ({ path, type: "link", linkName });
export const symlink = (path: string, linkName: string): Member => ({ path, type: "symlink", mode: 0o777, linkName });
