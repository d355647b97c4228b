import type { PageData, PageLayer, PageTree } from "../data.ts";
import { draw, make, section, table } from "./dom.ts";
import { type Area, divide } from "./treemap.ts";
import { count, size } from "./words.ts";

/** Draws the image's layers and files by size: a treemap to look into, and a table of the layers. */
export function sizes({ layers }: PageData): HTMLElement | undefined {
  if (layers.length === 0) return undefined;
  const total = layers.reduce((sum, { bytes = 0 }) => sum + bytes, 0);
  const rows = layers.map(({ title, bytes, isBase }, index) => ({
    cells: [
      { class: "number", content: String(index + 1) },
      { class: "number", content: bytes === undefined ? "unknown" : size(bytes) },
      { class: "number", content: bytes === undefined || total === 0 ? "" : `${((100 * bytes) / total).toFixed(1)} %` },
      { class: "what", content: title },
      { class: "brief", content: isBase ? "base image" : "this build" },
    ],
  }));
  const unknown = layers.filter(({ bytes }) => bytes === undefined).length;
  const head = `${count(layers.length, "layer")}, ${size(total)} uncompressed`;
  const note = unknown === 0 ? `${head}.` : `${head}; ${unknown} of the base image were never unpacked here.`;
  return section(
    "sizes",
    "Layers and files",
    make("p", { class: "note" }, note),
    maps(layers),
    table(
      "Layers of the image, lowest first",
      [
        { class: "number", content: "#" },
        { class: "number", content: "Size" },
        { class: "number", content: "Share" },
        { content: "Made by" },
        { content: "From" },
      ],
      rows,
    ),
  );
}

/** Makes the map, and a choice between the whole image and what this build added to its base. */
function maps(layers: readonly PageLayer[]): HTMLElement {
  const whole = rootOf("Image", layers, () => true);
  const own = rootOf("This build's layers", layers, ({ isBase }) => !isBase);
  if (own.bytes === 0 || own.bytes === whole.bytes) return map(whole);
  // Where the base image is nearly everything, nothing else could be seen.
  const isOwnFirst = own.bytes < whole.bytes / 4;
  const place = make("div", {}, map(isOwnFirst ? own : whole));
  const choice = (text: string, root: PageTree, isFirst: boolean): HTMLElement =>
    make(
      "label",
      { class: "choice" },
      make("input", {
        attributes: { type: "radio", name: "map", ...(isFirst ? { checked: "" } : {}) },
        on: { change: () => place.replaceChildren(map(root)) },
      }),
      make("span", {}, `${text}, ${size(root.bytes)}`),
    );
  return make(
    "div",
    {},
    make(
      "div",
      { class: "filters" },
      make(
        "fieldset",
        {},
        make("legend", { class: "unseen" }, "What the map shows"),
        choice("This build's layers", own, isOwnFirst),
        choice("Whole image", whole, !isOwnFirst),
      ),
    ),
    place,
  );
}

function rootOf(name: string, layers: readonly PageLayer[], isMeant: (layer: PageLayer) => boolean): PageTree {
  const children = layers
    .flatMap((layer, index) => {
      const { title, bytes, tree } = layer;
      if (!isMeant(layer)) return [];
      const label = `${index + 1}: ${title}`;
      const own =
        tree === undefined || tree.bytes === 0 ? { name: label, bytes: bytes ?? 0 } : { ...tree, name: label };
      return own.bytes > 0 ? [own] : [];
    })
    .toSorted((a, b) => b.bytes - a.bytes);
  return { name, bytes: children.reduce((sum, { bytes }) => sum + bytes, 0), children };
}

/** Makes a treemap: two levels are drawn, a part with something in it is a button that goes there. */
function map(root: PageTree): HTMLElement {
  const place = make("div", { class: "map" });
  const way = make("nav", { class: "way", attributes: { "aria-label": "Place in the map" } });
  let path: readonly PageTree[] = [root];
  const show = (next: readonly PageTree[], isFocused: boolean): void => {
    path = next;
    const at = path.at(-1) ?? root;
    way.replaceChildren(
      ...path.map((one, index) => {
        const text = `${one.name} (${size(one.bytes)})`;
        if (index === path.length - 1) return make("span", { attributes: { "aria-current": "true" } }, text);
        return make(
          "button",
          { attributes: { type: "button" }, on: { click: () => show(path.slice(0, index + 1), true) } },
          text,
        );
      }),
    );
    drawMap(place, at, (child) => show([...path, child], true));
    if (isFocused) place.querySelector("button")?.focus({ preventScroll: true });
  };
  const again = (): void => show(path, false);
  let width = 0;
  new ResizeObserver(() => {
    if (Math.abs(place.clientWidth - width) < 2) return;
    width = place.clientWidth;
    again();
  }).observe(place);
  return make("div", { class: "treemap" }, way, place);
}

const HEADING = 22;
const GAP = 2;

function drawMap(place: HTMLElement, at: PageTree, open: (child: PageTree) => void): void {
  const whole: Area = { x: 0, y: 0, width: place.clientWidth || 600, height: place.clientHeight || 340 };
  const children = (at.children ?? []).filter(({ bytes }) => bytes > 0);
  const areas = divide(
    children.map(({ bytes }) => bytes),
    whole,
  );
  place.replaceChildren(
    ...children.flatMap((child, index) => {
      const area = areas[index];
      return area === undefined || area.width < 1 || area.height < 1 ? [] : [part(child, area, index, open)];
    }),
  );
}

/** Draws one part with what is in it. */
function part(child: PageTree, area: Area, index: number, open: (child: PageTree) => void): HTMLElement {
  const below = (child.children ?? []).filter(({ bytes }) => bytes > 0);
  const text = `${child.name}, ${size(child.bytes)}`;
  const hasLabel = area.width > 44 && area.height > 22;
  const hasBytes = area.width > 130;
  const label = hasLabel
    ? make(
        "span",
        { class: "label" },
        make("b", {}, child.name),
        hasBytes ? make("span", { class: "bytes" }, size(child.bytes)) : undefined,
      )
    : undefined;
  const inner = below.length > 0 && area.height > 70 && area.width > 70 ? insides(below, area) : undefined;
  const attributes = { title: text, "aria-label": below.length > 0 ? `Look into ${text}` : text };
  const element =
    below.length > 0
      ? make(
          "button",
          {
            class: `part s${index % 6}`,
            attributes: { ...attributes, type: "button" },
            on: { click: () => open(child) },
          },
          label,
          inner,
        )
      : make("div", { class: `part s${index % 6}`, attributes: { ...attributes, role: "img" } }, label);
  Object.assign(element.style, {
    left: `${area.x}px`,
    top: `${area.y}px`,
    width: `${Math.max(1, area.width - GAP)}px`,
    height: `${Math.max(1, area.height - GAP)}px`,
  });
  return element;
}

function insides(children: readonly PageTree[], area: Area): Node {
  const width = area.width - GAP - 8;
  const height = area.height - HEADING - GAP - 6;
  return draw(
    "svg",
    { class: "inner", width: String(width), height: String(height), "aria-hidden": "true", focusable: "false" },
    ...nested(children, { x: 0, y: 0, width, height }, 0),
  );
}

/** Levels that are drawn in one part. */
const LEVELS = 4;
const NAME_HEIGHT = 16;

/** Draws entries, and in those with room what is in them. */
function nested(children: readonly PageTree[], whole: Area, level: number): readonly Node[] {
  const positive = children.filter(({ bytes }) => bytes > 0);
  const areas = divide(
    positive.map(({ bytes }) => bytes),
    whole,
  );
  return positive.flatMap((child, index) => {
    const { x = 0, y = 0, width = 0, height = 0 } = areas[index] ?? {};
    if (width < 2 || height < 2) return [];
    const letters = Math.floor((width - 8) / 6.7);
    const hasName = height > NAME_HEIGHT && letters >= 3;
    const name = child.name.length <= letters ? child.name : `${child.name.slice(0, letters - 1)}…`;
    const room = { x: x + 3, y: y + NAME_HEIGHT + 1, width: width - 7, height: height - NAME_HEIGHT - 5 };
    const hasRoom = hasName && level + 1 < LEVELS && room.width > 30 && room.height > 24;
    return [
      draw(
        "g",
        {},
        draw("title", {}, `${child.name}, ${size(child.bytes)}`),
        draw("rect", { x: String(x), y: String(y), width: String(width - 1), height: String(height - 1), rx: "2" }),
        hasName ? draw("text", { x: String(x + 4), y: String(y + 12) }, name) : undefined,
        ...(hasRoom ? nested(child.children ?? [], room, level + 1) : []),
      ),
    ];
  });
}
