import { expect, test } from "vitest";
import { SourceText } from "../../src/core/span.ts";
import { heredocText } from "../instructions/instruction.ts";
import { parseDockerfile } from "../parse.ts";
import { parseHeredocWord } from "./heredoc.ts";

test.each([
  { word: "<<EOF", is: { name: "EOF", expand: true, chomp: false, fileDescriptor: 0 } },
  { word: "<<-EOF", is: { name: "EOF", chomp: true } },
  { word: "3<<EOF", is: { name: "EOF", fileDescriptor: 3 } },
  { word: "<<'EOF'", is: { name: "EOF", expand: false } },
  { word: '<<E"O"F', is: { name: "EOF", expand: false } },
  { word: "<<\\EOF", is: { name: "EOF", expand: true } },
  { word: "<<$v", is: { name: "$v", expand: true } },
  { word: "<<'A B'", is: { name: "A B", expand: false } },
])("$word begins a here-document", ({ word, is }) => {
  expect(parseHeredocWord(word)).toMatchObject(is);
});

test.each(["<<", "<<-", "<<''", "<<<EOF", "a<<EOF", "<EOF", "<<A<<B", '"<<EOF"'])("%s begins none", (word) => {
  expect(parseHeredocWord(word)).toBeUndefined();
});

const bodies = (text: string): string[] => {
  const [run] = parseDockerfile(new SourceText("D", `FROM a\n${text}`)).stages[0]?.instructions ?? [];
  return run?.kind === "run" ? run.heredocs.map(heredocText) : [];
};

test.each([
  { name: "one body", text: "RUN <<E\na\n b\nE\n", texts: ["a\n b\n"] },
  { name: "an empty body", text: "RUN <<E\nE\n", texts: [""] },
  { name: "two bodies in order", text: "RUN cat <<A <<B\na\nA\nb\nB\n", texts: ["a\n", "b\n"] },
  { name: "tabs taken off", text: "RUN <<-E\n\t\ta\n\t b\n\tE\n", texts: ["a\n b\n"] },
  { name: "tabs kept", text: "RUN <<E\n\ta\n\tE\nE\n", texts: ["\ta\n\tE\n"] },
  { name: "comments and continuations in the body kept", text: "RUN <<E\n# a\nb \\\nE\n", texts: ["# a\nb \\\n"] },
  { name: "Windows line ends kept", text: "RUN <<E\r\na\r\nE\r\n", texts: ["a\r\n"] },
  { name: "a word behind a continuation", text: "RUN cat \\\n  <<E\na\nE\n", texts: ["a\n"] },
  { name: "the end of the file as line end", text: "RUN <<E\na\nE", texts: ["a\n"] },
  { name: "no heredoc in JSON", text: 'RUN ["<<E"]\n', texts: [] },
  { name: "no heredoc behind an open quote", text: "RUN echo it's <<E\n", texts: [] },
  { name: "no heredoc with a blank", text: "RUN cat << E\n", texts: [] },
  { name: "a heredoc beside an unset variable", text: "RUN echo ${x:=y} <<E\na\nE\n", texts: ["a\n"] },
])("reads $name", ({ text, texts }) => {
  expect(bodies(text)).toEqual(texts);
});

test("of two files with one name, both have the later body", () => {
  const text = "FROM a\nCOPY <<E <<E /\na\nE\nb\nE\n";
  const [copy] = parseDockerfile(new SourceText("D", text)).stages[0]?.instructions ?? [];
  expect(copy).toMatchObject({ contents: [{ text: "b\n" }, { text: "b\n" }] });
});
