import { expect, test } from "vitest";
import { BuildError } from "../core/errors.ts";
import { reasonOf } from "./mirrors.ts";

test.each(["app", "app:1", "app:latest", "host:5000/app:x@sha256:ab"])(
  "the reason is what follows the name %s",
  (name) => {
    const error = new BuildError("registry/unreachable", `Cannot pull "${name}": "a:1" answered: no`);
    expect(reasonOf(error)).toBe('"a:1" answered: no');
  },
);
