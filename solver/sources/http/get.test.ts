import { expect, test } from "vitest";
import type { Fetch } from "../../../lib/registry/fetch.ts";
import { get } from "./get.ts";

const { signal } = new AbortController();

test("trouble with a certificate is told in words about it", async () => {
  const cause = Object.assign(new Error("unable to verify the first certificate; try running Node.js with ..."), {
    code: "UNABLE_TO_VERIFY_LEAF_SIGNATURE",
  });
  const fetch: Fetch = async () => {
    throw Object.assign(new Error("fetch failed"), { cause });
  };
  const deps = { fetch, secrets: { get: async () => undefined } };
  await expect(get("https://files.example/a", undefined, deps, signal)).rejects.toMatchObject({
    code: "source/http",
    message: expect.stringMatching(/: the certificate of "files.example" comes from an authority that is not trusted/),
    hint: expect.stringContaining("SSL_CERT_FILE"),
  });
});
