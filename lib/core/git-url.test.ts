import { expect, test } from "vitest";
import { hubUrl, parseGitUrl } from "./git-url.ts";

const DEFAULTS = {
  ref: undefined,
  subdir: undefined,
  checksum: undefined,
  keepGitDir: undefined,
  submodules: undefined,
  mtime: undefined,
  fetchByCommit: false,
};
const COMMIT = "0123456789".repeat(4);

test.each([
  ["https://github.com/a/b.git", { remote: "https://github.com/a/b.git" }],
  ["https://github.com/a/b.git#main", { remote: "https://github.com/a/b.git", ref: "main" }],
  ["https://github.com/a/b.git#main:sub/dir", { remote: "https://github.com/a/b.git", ref: "main", subdir: "sub/dir" }],
  ["https://github.com/a/b.git#:sub", { remote: "https://github.com/a/b.git", subdir: "sub" }],
  ["git://host/x", { remote: "git://host/x" }],
  ["ssh://git@host:22/x#v1", { remote: "ssh://git@host:22/x", ref: "v1" }],
  ["git@github.com:a/b.git#v1", { remote: "git@github.com:a/b.git", ref: "v1" }],
  ["git@github.com:a/b", { remote: "git@github.com:a/b" }],
  ["https://h/b.git?ref=main", { remote: "https://h/b.git", ref: "main" }],
  ["https://h/b.git?tag=v1", { remote: "https://h/b.git", ref: "refs/tags/v1" }],
  ["https://h/b.git?branch=dev&subdir=x", { remote: "https://h/b.git", ref: "refs/heads/dev", subdir: "x" }],
  ["https://h/b.git?checksum=abc1234", { remote: "https://h/b.git", checksum: "abc1234" }],
  [`https://h/b.git?commit=${COMMIT}`, { remote: "https://h/b.git", ref: COMMIT, checksum: COMMIT }],
  ["https://h/b.git#a%20b:c%2Fd", { remote: "https://h/b.git", ref: "a b", subdir: "c/d" }],
  ["git@h:b.git#a%20b", { remote: "git@h:b.git", ref: "a%20b" }],
  [
    `https://h/b.git?fetch-by-commit&ref=main&commit=${COMMIT}`,
    { remote: "https://h/b.git", ref: "main", checksum: COMMIT, fetchByCommit: true },
  ],
  ["https://h/b.git?ref=main&commit=abc1234", { remote: "https://h/b.git", ref: "main", checksum: "abc1234" }],
  ["https://h/b.git?keep-git-dir", { remote: "https://h/b.git", keepGitDir: true }],
  [
    "https://h/b.git?keep-git-dir=false&submodules=0",
    { remote: "https://h/b.git", keepGitDir: false, submodules: false },
  ],
  ["https://h/b.git?mtime=commit", { remote: "https://h/b.git", mtime: "commit" }],
])("reads %s", (text, url) => {
  expect(parseGitUrl(text)).toEqual({ ...DEFAULTS, ...url });
});

test.each([
  "https://example.com/file.tar.gz",
  "https://h/b.git/x",
  "./b.git",
  "a/b",
  "b.git",
  "github.com/a/b",
  "ftp://h/b.git",
])("%s is no git source", (text) => {
  expect(parseGitUrl(text)).toBeUndefined();
});

test.each([
  ["https://h/b.git?what=1", /unexpected query "what"/],
  ["https://h/b.git?ref=", /query "ref" has no value/],
  ["https://h/b.git?ref=a&ref=b", /query "ref" has multiple values/],
  ["https://h/b.git?ref=a#b", /ref conflicts: "b" vs "a"/],
  ["https://h/b.git?subdir=a#x:b", /subdir conflicts: "b" vs "a"/],
  ["https://h/b.git?tag=a&branch=b", /branch conflicts with tag/],
  ["https://h/b.git?mtime=now", /invalid mtime value: "now" \(must be "checkout" or "commit"\)/],
  ["https://h/b.git?submodules=maybe", /invalid submodules value/],
  ["https://h/b.git?fetch-by-commit=2", /invalid fetch-by-commit value/],
  ["https://h/b.git#100%", /stray percent sign/],
])("refuses %s", (text, message) => {
  expect(() => parseGitUrl(text)).toThrow(message);
});

test("an error does not repeat a password", () => {
  expect(() => parseGitUrl("https://me:secret@h/b.git?what=1")).not.toThrow(/secret/);
  expect(() => parseGitUrl("https://me:secret@h/b.git?what=1")).toThrow(/\*\*\*@h/);
});

test.each([
  ["github.com/a/b", "https://github.com/a/b.git"],
  ["github.com/a/b.git", "https://github.com/a/b.git"],
  ["github.com/a/b#main:sub", "https://github.com/a/b.git#main:sub"],
  ["github.com/a/b.git?tag=v1", "https://github.com/a/b.git?tag=v1"],
  ["github.com/a", undefined],
  ["github.com/a/b/c", undefined],
  ["gitlab.com/a/b", undefined],
])("%s as a context is %s", (text, url) => {
  expect(hubUrl(text)).toBe(url);
});
