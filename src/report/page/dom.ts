type Child = Node | string | undefined;

/** Attributes and listeners of a new element. Texts become attributes and text nodes, never HTML. */
interface Made {
  readonly class?: string;
  readonly attributes?: Readonly<Record<string, string | undefined>>;
  readonly on?: Readonly<Partial<Record<"click" | "input" | "change" | "toggle", () => void>>>;
}

/** Makes an element. */
export function make<Name extends keyof HTMLElementTagNameMap>(
  name: Name,
  made: Made = {},
  ...children: readonly Child[]
): HTMLElementTagNameMap[Name] {
  const element = document.createElement(name);
  if (made.class !== undefined) element.className = made.class;
  setAttributes(element, made.attributes);
  for (const [event, listener] of Object.entries(made.on ?? {})) element.addEventListener(event, listener);
  append(element, children);
  return element;
}

const SVG = "http://www.w3.org/2000/svg";

/** Makes an element of a drawing. */
export function draw(
  name: "svg" | "g" | "rect" | "text" | "title",
  attributes: Readonly<Record<string, string | undefined>>,
  ...children: readonly Child[]
): SVGElement {
  const element = document.createElementNS(SVG, name);
  setAttributes(element, attributes);
  append(element, children);
  return element;
}

function setAttributes(element: Element, attributes: Made["attributes"]): void {
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (value !== undefined) element.setAttribute(name, value);
  }
}

function append(element: Element, children: readonly Child[]): void {
  for (const child of children) if (child !== undefined) element.append(child);
}

/** Makes the heading and body of one part of the page. */
export function section(id: string, title: string, ...children: readonly Child[]): HTMLElement {
  const heading = make("h2", { attributes: { id: `${id}-title` } }, title);
  return make("section", { attributes: { id, "aria-labelledby": `${id}-title` } }, heading, ...children);
}

/** A cell of a table: a text, or an element, with a class. */
export interface Cell {
  readonly class?: string;
  readonly content: Child;
}

/** Makes a table with a caption for those who cannot see where it stands. The first cell of each row is its heading. */
export function table(
  caption: string,
  columns: readonly Cell[],
  rows: readonly { readonly class?: string; readonly cells: readonly Cell[] }[],
): HTMLElement {
  const cell = (name: "th" | "td", { class: className, content }: Cell, scope?: string): HTMLElement =>
    make(name, { ...(className === undefined ? {} : { class: className }), attributes: { scope } }, content);
  const head = make("tr", {}, ...columns.map((column) => cell("th", column, "col")));
  const body = rows.map((row) =>
    make(
      "tr",
      row.class === undefined ? {} : { class: row.class },
      ...row.cells.map((one, index) => (index === 0 ? cell("th", one, "row") : cell("td", one))),
    ),
  );
  return make(
    "div",
    // A wide table scrolls by itself, also by keys.
    { class: "scroll", attributes: { tabindex: "0", role: "region", "aria-label": caption } },
    make(
      "table",
      {},
      make("caption", { class: "unseen" }, caption),
      make("thead", {}, head),
      make("tbody", {}, ...body),
    ),
  );
}
