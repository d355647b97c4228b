import { readFileSync } from "node:fs";
import { request as requestHttp } from "node:http";
import { request as requestHttps } from "node:https";
import { errnoOf } from "../../../lib/core/errors.ts";
import type { TraceTarget } from "./target.ts";

/**
 * Posts a document to a collector once, and waits for its answer no longer than the target says.
 * @throws {Error} with a message that has neither headers nor the URL's account
 */
export async function sendTrace(target: TraceTarget, document: object): Promise<void> {
  const { url, headers, timeoutMs, certificate } = target;
  const body = Buffer.from(JSON.stringify(document));
  const ca = certificate === undefined ? {} : { ca: authorities(certificate) };
  const send = url.protocol === "https:" ? requestHttps : requestHttp;
  const signal = AbortSignal.timeout(timeoutMs);
  await new Promise<void>((resolve, reject) => {
    const failed = (error: unknown): void =>
      reject(new Error(signal.aborted ? `no answer in ${timeoutMs} ms` : (errnoOf(error) ?? "the connection failed")));
    const request = send(
      url,
      {
        method: "POST",
        signal,
        agent: false,
        ...ca,
        headers: { ...headers, "content-type": "application/json", "content-length": body.length },
      },
      (response) => {
        // The rest of the answer is of no interest, however long it is.
        response.on("error", () => undefined);
        response.destroy();
        const { statusCode = 0 } = response;
        if (statusCode >= 200 && statusCode < 300) resolve();
        else reject(new Error(`it answered ${statusCode}`));
      },
    );
    request.on("error", failed);
    request.end(body);
  });
}

function authorities(path: string): Buffer {
  try {
    return readFileSync(path);
  } catch (error) {
    throw new Error(`cannot read ${path}: ${errnoOf(error) ?? "unknown"}`, { cause: error });
  }
}
