/**
 * Splits the beginning of a command line into words, as a shell would: the last one is being typed and may be empty.
 * Quotes that are still open end with the line.
 */
export function splitLine(line: string): string[] {
  const words: string[] = [];
  let word: string | undefined;
  let quote = "";
  for (let index = 0; index < line.length; index += 1) {
    const letter = line[index] ?? "";
    if (quote === "'" ? letter !== "'" : letter === "\\" && index + 1 < line.length) {
      if (quote !== "'") index += 1;
      word = (word ?? "") + (line[index] ?? "");
    } else if (quote !== "" && letter === quote) {
      quote = "";
    } else if (quote === "" && (letter === "'" || letter === '"')) {
      quote = letter;
      word ??= "";
    } else if (quote === "" && /\s/.test(letter)) {
      if (word !== undefined) words.push(word);
      word = undefined;
    } else {
      word = (word ?? "") + letter;
    }
  }
  return [...words, word ?? ""];
}
