import { Readable } from "node:stream";
import { expect, test } from "vitest";
import { digestOf } from "../core/digest.ts";
import { uploadBlob } from "./push-blob.ts";
import type { HttpResponse } from "./transport.ts";

const signal = new AbortController().signal;

function answer(status: number, url: URL, headers: Readonly<Record<string, string>> = {}): HttpResponse {
  const lists = Object.entries(headers).map(([name, value]): [string, string[]] => [name, [value]]);
  return { status, url, headers: new Map(lists), body: Readable.from([]) };
}

test("a blob that was opened and never sent is closed", async () => {
  const bytes = Buffer.alloc(1000);
  const opened: Readable[] = [];
  const uploads = new URL("http://registry.example/v2/app/blobs/uploads/");
  const broken = new Error("the connection broke");
  const uploading = uploadBlob(
    {
      purpose: { doing: 'push "app"', registry: "registry.example" },
      uploads,
      timer: { async wait() {} },
      blob: {
        descriptor: { digest: digestOf(bytes), size: bytes.length },
        open: () => {
          const stream = Readable.from([bytes]);
          opened.push(stream);
          return stream;
        },
        onProgress() {},
      },
      async request({ method, body }) {
        if (method === "POST") return answer(202, uploads, { location: "/v2/app/blobs/uploads/1" });
        const stream = await body?.open();
        if (stream instanceof Readable) stream.destroy();
        throw broken;
      },
    },
    signal,
  );
  await expect(uploading).rejects.toThrow(/the connection broke/);
  expect(opened.length).toBeGreaterThan(1);
  expect(opened.map(({ destroyed }) => destroyed)).not.toContain(false);
});
