import { createServer, type IncomingHttpHeaders, type RequestListener } from "node:http";
import type { AddressInfo } from "node:net";
import { describe, expect, test } from "vitest";
import type { BuildReport } from "../../engine/report.ts";
import { sendBuildTrace } from "./trace-sender.ts";
import { traceRequest } from "./spans.ts";
import { namesCollector, traceTarget } from "./target.ts";

const TRACE = "0af7651916cd43dd8448eb211c80319c";
const SPAN = "b7ad6b7169203331";
const BASE = "OTEL_EXPORTER_OTLP_ENDPOINT";
const OWN = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT";
const url = (env: Readonly<Record<string, string>>): string | undefined => traceTarget(env).target?.url.href;

test.each([
  { name: "the common endpoint", env: { [BASE]: "http://c:4318" }, href: "http://c:4318/v1/traces" },
  { name: "one with a path and a query", env: { [BASE]: "https://c/otlp/?a=b" }, href: "https://c/otlp/v1/traces?a=b" },
  { name: "the one of traces, as it is", env: { [BASE]: "http://c", [OWN]: "http://t:1/x" }, href: "http://t:1/x" },
  { name: "an empty one of traces", env: { [BASE]: "http://c", [OWN]: "" }, href: "http://c/v1/traces" },
  { name: "no URL", env: { [BASE]: "collector:4318" }, href: undefined },
  { name: "another protocol", env: { [BASE]: "file:///etc/passwd" }, href: undefined },
  { name: "grpc", env: { [BASE]: "http://c", OTEL_EXPORTER_OTLP_PROTOCOL: "grpc" }, href: undefined },
  { name: "disabled", env: { [BASE]: "http://c", OTEL_SDK_DISABLED: "TRUE" }, href: undefined },
  { name: "no exporter", env: { [BASE]: "http://c", OTEL_TRACES_EXPORTER: "none" }, href: undefined },
  { name: "an unsampled parent", env: { [BASE]: "http://c", TRACEPARENT: `00-${TRACE}-${SPAN}-00` }, href: undefined },
])("where spans go: $name", ({ env, href }) => {
  expect(url(env)).toBe(href);
  expect(namesCollector(env)).toBe(true);
});

test("settings are read as the specification says, and the wait has a limit", () => {
  const { target } = traceTarget({
    [BASE]: "http://c",
    OTEL_EXPORTER_OTLP_HEADERS: "authorization=Bearer%20a%3Db, x-team = build",
    OTEL_EXPORTER_OTLP_TIMEOUT: "60000",
    OTEL_RESOURCE_ATTRIBUTES: "service.name=other,team=a%2Cb",
    OTEL_SERVICE_NAME: "images",
    TRACEPARENT: `00-${TRACE}-${SPAN}-01`,
    TRACESTATE: "a=b",
  });
  expect(target).toMatchObject({
    headers: { authorization: "Bearer a=b", "x-team": "build" },
    timeoutMs: 2000,
    resource: { "service.name": "images", team: "a,b" },
    parent: { traceId: TRACE, spanId: SPAN, state: "a=b" },
  });
});

test.each(["", "00-1-2-01", `ff-${TRACE}-${SPAN}-01`, `00-${"0".repeat(32)}-${SPAN}-01`, `00-${TRACE}-${SPAN}-01-x`])(
  "a malformed parent counts as none: %s",
  (TRACEPARENT) => {
    expect(traceTarget({ [BASE]: "http://c", TRACEPARENT }).target).toMatchObject({ parent: undefined });
  },
);

test("headers that are none are left out, without a word about their values", () => {
  const { target, warnings } = traceTarget({
    [BASE]: "http://c",
    OTEL_EXPORTER_OTLP_HEADERS: "good=1,evil=a%0d%0ahost:b,alone,=x,b%0aad=s3cret",
  });
  expect(target?.headers).toEqual({ good: "1" });
  expect(warnings).toHaveLength(1);
  expect(warnings.join("")).not.toMatch(/evil|s3cret/);
});

const step = (more: object): BuildReport["steps"][number] => ({
  ...{ name: "[1/2] FROM a", stage: "0", instruction: "FROM a", how: "cached", miss: undefined, why: undefined },
  ...{ startMs: 5, endMs: 5, needs: [] },
  ...more,
});

const report: BuildReport = {
  ...{ version: 1, id: "abc", startedAtMs: 1_700_000_000_000, context: ".", target: undefined, tags: ["app:1"] },
  ...{ error: { code: "solver/exec-failed", message: "it failed with hunter2" }, total: 2 },
  steps: [
    step({}),
    step({
      ...{ name: "[2/2] RUN echo hunter2\n\u001b]0;x\u0007", instruction: "RUN echo hunter2", how: "ran", needs: [0] },
      ...{ startMs: 6, endMs: 1006.5, state: "failed", usage: { cpuMs: 12.5, peakMemoryBytes: 1e6 } },
    }),
  ],
  record: {
    ...{ status: "failed", durationMs: 1010, options: {}, versions: { kiln: "1", node: "v24" } },
    work: [{ name: "[internal] load build definition", startMs: 0, endMs: 1, state: "done" }],
  },
};

interface Span {
  readonly traceId: string;
  readonly spanId: string;
  readonly parentSpanId?: string;
  readonly name: string;
  readonly startTimeUnixNano: string;
  readonly endTimeUnixNano: string;
  readonly links: readonly { readonly spanId: string }[];
  readonly status: { readonly code?: number };
}

function spansOf(body: string): readonly Span[] {
  const { resourceSpans } = JSON.parse(body) as { resourceSpans: [{ scopeSpans: [{ spans: Span[] }] }] };
  return resourceSpans[0].scopeSpans[0].spans;
}

test("a build is one trace: a span for it, one for everything it did, and links to what was needed", () => {
  let count = 0;
  const random = (bytes: number): string => (count += 1).toString(16).padStart(bytes * 2, "0");
  const parent = { traceId: TRACE, spanId: SPAN, state: undefined };
  const document = traceRequest(report, {
    parent,
    random,
    version: "1",
    endedAtMs: 0,
    resource: { "service.name": "k" },
  });
  const [root, load, from, run] = spansOf(JSON.stringify(document));
  expect(root).toMatchObject({
    ...{ traceId: TRACE, parentSpanId: SPAN, name: "kiln build", status: { code: 2 } },
    ...{ startTimeUnixNano: "1700000000000000000", endTimeUnixNano: "1700000001010000000" },
  });
  expect(load).toMatchObject({ parentSpanId: root?.spanId, name: "[internal] load build definition", status: {} });
  expect(run).toMatchObject({
    ...{ traceId: TRACE, parentSpanId: root?.spanId, status: { code: 2 } },
    ...{ startTimeUnixNano: "1700000000006000000", endTimeUnixNano: "1700000001006500000" },
    links: [{ traceId: TRACE, spanId: from?.spanId }],
  });
  expect(run?.name).not.toMatch(/\p{Cc}/u);
  expect(JSON.stringify(document)).toContain('{"key":"kiln.step.cpu_ms","value":{"doubleValue":12.5}}');
  expect(JSON.stringify(document)).toContain('{"key":"kiln.step.memory_bytes","value":{"intValue":"1000000"}}');
});

interface Collector extends AsyncDisposable {
  readonly host: string;
  readonly requests: { readonly path: string; readonly headers: IncomingHttpHeaders; readonly body: string }[];
}

async function collector(answer: RequestListener): Promise<Collector> {
  const requests: Collector["requests"] = [];
  const server = createServer((request, response) => {
    let body = "";
    request.on("data", (piece: Buffer) => (body += piece.toString()));
    request.on("end", () => {
      requests.push({ path: request.url ?? "", headers: request.headers, body });
      answer(request, response);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  return {
    host: `127.0.0.1:${port}`,
    requests,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

describe("a collector", () => {
  async function send(env: Readonly<Record<string, string>>): Promise<readonly string[]> {
    const warnings: string[] = [];
    const context = { host: { env, nowMs: () => 0 }, warn: (line: string) => void warnings.push(line) };
    await sendBuildTrace(context, report, { buildArgs: { API_TOKEN: "hunter2" }, labels: {} });
    return warnings;
  }

  test("gets one request with the headers, and no value of a secret argument", async () => {
    await using server = await collector((_request, response) => response.end("{}"));
    const headers = "authorization=Bearer%20k3y";
    expect(await send({ [BASE]: `http://${server.host}`, OTEL_EXPORTER_OTLP_HEADERS: headers })).toEqual([]);
    expect(server.requests).toHaveLength(1);
    const [{ path, headers: got, body } = { path: "", headers: {}, body: "" }] = server.requests;
    expect(path).toBe("/v1/traces");
    expect(got).toMatchObject({ authorization: "Bearer k3y", "content-type": "application/json" });
    expect(spansOf(body)).toHaveLength(4);
    expect(body).not.toContain("hunter2");
    expect(body).not.toContain("k3y");
  });

  test.each([
    { name: "refuses", answer: 401, said: "it answered 401" },
    { name: "sends elsewhere", answer: 307, said: "it answered 307" },
    { name: "never answers", answer: undefined, said: "no answer in 150 ms" },
  ])("that $name costs a warning", async ({ answer, said }) => {
    await using server = await collector((_request, response) => {
      if (answer !== undefined) response.writeHead(answer, { location: "http://127.0.0.1:9/" }).end("no ".repeat(99));
    });
    const env = { [OWN]: `http://user:pass@${server.host}/`, OTEL_EXPORTER_OTLP_TIMEOUT: "150" };
    expect(await send(env)).toEqual([`WARNING: The build's trace is not sent to ${server.host}: ${said}`]);
    expect(server.requests).toHaveLength(1);
  });

  test("that is away costs a warning", async () => {
    const server = await collector(() => undefined);
    await server[Symbol.asyncDispose]();
    const [warning] = await send({ [BASE]: `http://${server.host}` });
    expect(warning).toMatch(/ECONNREFUSED$/);
  });

  test("that answers without end does not hold the build", async () => {
    await using server = await collector((_request, response) => {
      response.writeHead(200).write("x");
    });
    expect(await send({ [BASE]: `http://${server.host}` })).toEqual([]);
  });
});
