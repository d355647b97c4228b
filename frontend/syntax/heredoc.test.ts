import { expect, test } from "vitest";
import { SourceText } from "../../lib/core/span.ts";
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
  { word: "<< EOF", is: { name: "EOF", expand: true, chomp: false } },
  { word: "<<- EOF", is: { name: "EOF", chomp: true } },
  { word: "<< -EOF", is: { name: "-EOF", chomp: false } },
  { word: "0<<\t\t'E F'", is: { name: "E F", expand: false, chomp: false } },
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
  { name: "a word behind a blank", text: "RUN cat << E > /f\na\nE\n", texts: ["a\n"] },
  { name: "a quoted word behind a blank", text: "RUN cat << 'E' > /f\na\nE\n", texts: ["a\n"] },
  { name: "a quoted word with a blank behind a blank", text: "RUN cat << 'E F'\na\nE F\n", texts: ["a\n"] },
  { name: "a word behind blanks and a dash", text: "RUN cat <<- E\n\ta\n\tE\n", texts: ["a\n"] },
  { name: "a word behind a number and a tab", text: "RUN 0<<\tE cat\na\nE\n", texts: ["a\n"] },
  { name: "two words behind blanks", text: "RUN cat << A 3<<- B\na\nA\n\tb\n\tB\n", texts: ["a\n", "b\n"] },
  { name: "a word on a line that is continued", text: "RUN cat << \\\n  E\na\nE\n", texts: ["a\n"] },
  { name: "a word behind a blank in COPY", text: "COPY << E /f\na\nE\n", texts: [] },
  { name: "no heredoc in arithmetic", text: "RUN x=$((1 << 3)) y=$(( (1 <<3) << (2) ))\n", texts: [] },
  { name: "no heredoc in an arithmetic command", text: "RUN true; ((x = 1 << 3)); echo $[1 << x]\n", texts: [] },
  { name: "a heredoc in subshells", text: "RUN x=$( (cat << E | cat) | (cat))\na\nE\n", texts: ["a\n"] },
  { name: "a heredoc behind arithmetic", text: "RUN echo $((1 << 3)) && cat << E\na\nE\n", texts: ["a\n"] },
  { name: "no heredoc in a comment", text: "RUN true # don't << E\n", texts: [] },
  { name: "a heredoc before a comment", text: "RUN cat << E # don't\na\nE\n", texts: ["a\n"] },
  { name: "a heredoc behind a sign that is no comment", text: "RUN echo a#b $# ${x#y} << E\na\nE\n", texts: ["a\n"] },
  { name: "no heredoc in quotes", text: "RUN echo '<< E' \"<< E\" \\<< E\n", texts: [] },
  { name: "no heredoc in here-strings", text: "RUN cat <<< E; cat <<<E; cat <<<<E\n", texts: [] },
  { name: "no heredoc with a blank in JSON", text: 'RUN ["cat", "<<", "E"]\n', texts: [] },
  { name: "no heredoc at the end of a line", text: "RUN cat <<  \n", texts: [] },
  { name: "a heredoc beside an unset variable", text: "RUN echo ${x:=y} <<E\na\nE\n", texts: ["a\n"] },
])("reads $name", ({ text, texts }) => {
  expect(bodies(text)).toEqual(texts);
});

test.each([
  { text: "COPY << E /f\na\nE\n", paths: [], contents: [{ name: "E", text: "a\n" }] },
  { text: "COPY <<- 'E' x <<F /f\n\t$a\n\tE\nb\nF\n", paths: ["x"], contents: [{ text: "$a\n" }, { text: "b\n" }] },
  { text: "ADD x <<\tE /f\na\nE\n", paths: ["x"], contents: [{ name: "E" }] },
])("reads the files of $text", ({ text, paths, contents }) => {
  const [copy] = parseDockerfile(new SourceText("D", `FROM a\n${text}`)).stages[0]?.instructions ?? [];
  expect(copy).toMatchObject({ paths: paths.map((path) => ({ text: path })), contents });
});

test("two here-documents with one name both have the later body", () => {
  const text = "FROM a\nCOPY <<E <<E /\na\nE\nb\nE\n";
  const [copy] = parseDockerfile(new SourceText("D", text)).stages[0]?.instructions ?? [];
  expect(copy).toMatchObject({ contents: [{ text: "b\n" }, { text: "b\n" }] });
});
