import type { PageBuild } from "./data.ts";

/** Places of the template that the build's own texts take. */
const TITLE = "<!--title-->";
const DATA = "<!--data-->";

/**
 * Makes the page: the template with a title and the data, each escaped for its place.
 * @param template build/report.html
 */
export function reportDocument(template: string, data: { readonly build: Pick<PageBuild, "id" | "name"> }): string {
  const [head, middle, tail, ...others] = template.split(new RegExp(`${TITLE}|${DATA}`));
  if (head === undefined || middle === undefined || tail === undefined || others.length > 0) {
    throw new Error("The page's template does not have one title and one place for the data");
  }
  return `${head}${htmlText(`${data.build.name}: build ${data.build.id}`)}${middle}${scriptJson(data)}${tail}`;
}

/** Escapes a text for HTML. */
function htmlText(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;").replaceAll('"', "&quot;");
}

/**
 * Writes JSON for a script element. HTML ends it at `</script` and changes its mind at `<!--`, wherever they are, so
 * no character that HTML could see stays.
 */
export function scriptJson(value: unknown): string {
  return JSON.stringify(value).replaceAll(
    /[<>&\u2028\u2029]/g,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}
