import fc from "fast-check";
import { expect, test } from "vitest";
import { BuildError } from "../../lib/core/errors.ts";
import { expandToWords, expandWord, rawWords } from "./expand.ts";

const variables = new Map([
  ["p", "x"],
  ["v", String.raw`a/b.c*d\e`],
  ["n", "l1"],
  ["e", ""],
  ["q", "$5x"],
  ["r", "$0"],
  ["t", "$$"],
  ["s1", "[$1]"],
  ["two", "one two"],
  ["\u00e9", "accent"],
  ["lines", "ab\ncd"],
  ["emoji", "a\u{1f600}b"],
]);

const expand = (word: string, escape: "\\" | "`" = "\\"): string => expandWord(word, variables, { escape }).text;

// What BuildKit makes of the same words, written as ENV values.
test.each([
  { word: "plain", text: "plain" },
  { word: "$p", text: "x" },
  { word: "${p}", text: "x" },
  { word: "a${p}b", text: "axb" },
  { word: "$pq", text: "" },
  { word: "${p}q", text: "xq" },
  { word: "$missing", text: "" },
  { word: "$", text: "$" },
  { word: "a$", text: "a$" },
  { word: "a$/b", text: "a$/b" },
  { word: '"a$"', text: "a$" },
  { word: "$1a", text: "a" },
  { word: "${1}", text: "" },
  { word: "$10", text: "" },
  { word: "$5x", text: "x" },
  { word: "$@x", text: "x" },
  { word: "$*$#$?$-$$$!", text: "" },
  { word: "$\u00e9", text: "accent" },
  { word: "${v:-x}y", text: String.raw`a/b.c*d\ey` },
  { word: '${u-"x y"}', text: "x y" },
  { word: "${u-'x y'}", text: "x y" },
  { word: "${e-x}", text: "" },
  { word: "${e:-x}", text: "x" },
  { word: "${u+x}", text: "" },
  { word: "${e+x}", text: "x" },
  { word: "${e:+x}", text: "" },
  { word: "${p:+x}", text: "x" },
  { word: "${p:?no}", text: "x" },
  { word: "${e?no}", text: "" },
  { word: "${u:-${p:-z}}", text: "x" },
  { word: "${u:-${w:-z}}", text: "z" },
  { word: "${u:-}", text: "" },
  { word: "\\$v", text: "$v" },
  { word: String.raw`"\n\"\$\\"`, text: String.raw`\n"$` + "\\" },
  { word: String.raw`'\n'`, text: String.raw`\n` },
  { word: String.raw`\n`, text: "n" },
  { word: "'$p'", text: "$p" },
  { word: '"$p"', text: "x" },
  { word: `"it's"`, text: "it's" },
  { word: "a\\", text: "a" },
  { word: "${v#a\\/}", text: String.raw`b.c*d\e` },
  { word: String.raw`${"${v%\\\\e}"}`, text: "a/b.c*d" },
  { word: "${v##*\\/}", text: String.raw`b.c*d\e` },
  { word: "${v%%.*}", text: "a/b" },
  { word: "${v%.*}", text: "a/b" },
  { word: "${v#*}", text: String.raw`a/b.c*d\e` },
  { word: "${v##*}", text: "" },
  { word: "${v#?}", text: String.raw`/b.c*d\e` },
  { word: "${v%?}", text: "a/b.c*d\\" },
  { word: '${v#"a\\/"}', text: String.raw`a/b.c*d\e` },
  { word: "${v#'a/'}", text: String.raw`b.c*d\e` },
  { word: "${v#zz}", text: String.raw`a/b.c*d\e` },
  { word: "${v//b/$q}", text: String.raw`a/.c*d\e` },
  { word: "${v/b/$q}", text: String.raw`a/$5x.c*d\e` },
  { word: "${v//b/$r}", text: String.raw`a/b.c*d\e` },
  { word: "${v/b/$r}", text: String.raw`a/$0.c*d\e` },
  { word: "${v//b/$t}", text: String.raw`a/$.c*d\e` },
  { word: "${v//b/$s1}", text: String.raw`a/[].c*d\e` },
  { word: "${v/\\//\\/}", text: String.raw`a\/b.c*d\e` },
  { word: "${v/b/\\}}", text: String.raw`a/\}.c*d\e` },
  { word: "${v//x*/z}", text: String.raw`a/b.c*d\e` },
  { word: "${v//*/z}", text: "z" },
  { word: "${v//?/z}", text: "zzzzzzzzz" },
  { word: "${v/\\*/z}", text: String.raw`a/b.czd\e` },
  { word: '${v/b/"x_y"}', text: String.raw`a/x_y.c*d\e` },
  { word: "${v/b/'q'}", text: String.raw`a/q.c*d\e` },
  { word: "${v//\\?/z}", text: String.raw`a/b.c*d\e` },
  { word: "${e/x/y}", text: "" },
  { word: "${e//*/y}", text: "y" },
  { word: "${u//*/y}", text: "y" },
  { word: "${u/*/y}", text: "y" },
  { word: "${lines#*}", text: "ab\ncd" },
  { word: "${lines##*}", text: "\ncd" },
  { word: "${lines%%?}", text: "ab\nc" },
  { word: "${emoji#a?}", text: "b" },
  { word: "${emoji%?b}", text: "a" },
  { word: "${emoji//?/x}", text: "xxx" },
])("$word becomes $text", ({ word, text }) => {
  expect(expand(word)).toBe(text);
});

test.each([
  { word: "${p", message: `failed to process "\${p": syntax error: missing '}'` },
  { word: "${", message: "missing '}'" },
  { word: "${}", message: "syntax error: bad substitution" },
  { word: "${{p}}", message: "syntax error: bad substitution" },
  { word: "${:p}", message: "syntax error: bad substitution" },
  { word: "${p:=x}", message: "unsupported modifier (:=) in substitution" },
  { word: "${p:#x}", message: "unsupported modifier (:#) in substitution" },
  { word: "${p:%x}", message: "unsupported modifier (:%) in substitution" },
  { word: "${p!}", message: "unsupported modifier (!) in substitution" },
  { word: "${p^^}", message: "unsupported modifier (^) in substitution" },
  { word: "${p:-x", message: "syntax error: missing '}'" },
  { word: "${p/x}", message: "syntax error: missing '/' in ${}" },
  { word: "${p/x/y", message: "syntax error: missing '}'" },
  { word: "${u?}", message: "u: is not allowed to be unset" },
  { word: "${u:?}", message: "u: is not allowed to be unset" },
  { word: "${e:?}", message: "e: is not allowed to be empty" },
  { word: "${u?give me $p}", message: "u: give me x" },
  { word: "'a", message: "unexpected end of statement while looking for matching single-quote" },
  { word: '"a', message: "unexpected end of statement while looking for matching double-quote" },
  { word: "${p#\\x}", message: "invalid pattern (\\x) in substitution: invalid escape '\\x'" },
])("$word is an error", ({ word, message }) => {
  expect(() => expand(word)).toThrow(expect.objectContaining({ code: "dockerfile/expansion" }));
  expect(() => expand(word)).toThrow(message);
});

test.each([
  { name: "escapes with the character of the directive", word: "`$p\\$p", text: "$p\\x" },
  { name: "protects it by itself", word: "``", text: "`" },
  { name: "uses it inside double quotes", word: '"`$p \\"', text: "$p \\" },
])("a word of a file with escape=` $name", ({ word, text }) => {
  expect(expand(word, "`")).toBe(text);
});

test("in a heredoc quotes stay and escapes go", () => {
  const body = "a\\n \\$p $p \"$p\" '$p' \\\\ `x` it's\n";
  const options = { escape: "\\", quotes: "heredoc" } as const;
  expect(expandWord(body, variables, options).text).toBe("an $p x \"x\" 'x' \\ `x` it's\n");
});

test("for display, unset references stay as written", () => {
  const shown = expandWord("$p $u ${u} ${u:-a$p} ${u/a/b}", variables, { escape: "\\", unset: "keep" });
  expect(shown.text).toBe("x $u ${u} ${u:-ax} ${u/a/b}");
});

test("lists the names with and without values", () => {
  const { used, unset } = expandWord("$p ${u:-$w} $p ${e:-$p}", variables, { escape: "\\" });
  expect([...used]).toEqual(["p", "e"]);
  expect([...unset]).toEqual(["w", "u"]);
});

test.each([
  { word: "80 443", words: ["80", "443"] },
  { word: "$two", words: ["one", "two"] },
  { word: '"$two"', words: ["one two"] },
  { word: "a$two", words: ["aone", "two"] },
  { word: "a\\ b", words: ["a b"] },
  { word: "$u", words: [] },
  { word: "  ", words: [] },
  { word: '"" x', words: ["x"] },
])("$word splits into $words", ({ word, words }) => {
  expect(expandToWords(word, variables, { escape: "\\" }).words).toEqual(words);
});

test("raw words keep quotes and escapes, with their offsets", () => {
  expect(rawWords(`cat <<'E F' $x "<<a b" 3<<-X`)).toEqual([
    { text: "cat", start: 0 },
    { text: "<<'E F'", start: 4 },
    { text: "$x", start: 12 },
    { text: '"<<a b"', start: 15 },
    { text: "3<<-X", start: 23 },
  ]);
  expect(rawWords("echo it's <<EOF")).toEqual([]);
});

test("values that double end in an error before memory runs out", () => {
  const doubling = new Map([["a", "x".repeat(1024)]]);
  const grow = (): void => {
    for (let round = 0; round < 60; round += 1) doubling.set("a", expandWord("$a$a", doubling, { escape: "\\" }).text);
  };
  expect(grow).toThrow("the result is longer than");
});

test.each([
  { name: "nested braces", word: "${u:-".repeat(12_000) },
  { name: "closed nested braces", word: "${u:-".repeat(12_000) + "}".repeat(12_000) },
  { name: "open quotes", word: `"'`.repeat(500_000) },
  { name: "dollars", word: "$".repeat(1_000_000) },
  { name: "escapes", word: "\\".repeat(1_000_000) },
  { name: "many stars", word: `\${v//${"*a".repeat(10_000)}/b}` },
])("ends for a megabyte of $name", ({ word }) => {
  expect(outcome(word)).toMatch(/^(?:text|error)$/);
});

test("a pattern that would take for ever is an error", () => {
  const value = new Map([["v", "a".repeat(200_000)]]);
  const word = `\${v//${"a".repeat(30_000)}b/x}`;
  expect(() => expandWord(word, value, { escape: "\\" })).toThrow("it takes too long to match");
});

function outcome(word: string): "text" | "error" {
  try {
    expand(word);
    return "text";
  } catch (error) {
    if (error instanceof BuildError) return "error";
    throw error;
  }
}

const shellText = fc.string({
  unit: fc.constantFrom(..."ab$\\{}:-+?#%/*'\"`! \n".split(""), "\u00e9", "\u{1f600}"),
  maxLength: 60,
});

test("no text makes the expander crash", () => {
  fc.assert(
    fc.property(shellText, (word) => {
      expect(["text", "error"]).toContain(outcome(word));
    }),
    { numRuns: 5000 },
  );
});

test("a quoted text comes back as it was", () => {
  fc.assert(
    fc.property(fc.string({ unit: "binary" }), (text) => {
      const quoted = `"${text.replaceAll(/["$\\]/g, String.raw`\$&`)}"`;
      expect(expand(quoted)).toBe(text);
    }),
  );
});
