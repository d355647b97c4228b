import { DIGEST, object, oneOf, optional, type Shape, TEXT } from "../core/shape.ts";
import type { KeyPart } from "./model.ts";

export const keyPartShape: Shape<KeyPart> = object<KeyPart>({
  name: TEXT,
  value: TEXT,
  listing: optional(DIGEST),
  basis: optional(oneOf("definition", "content", "note")),
});
