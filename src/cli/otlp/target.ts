import { percentDecoded } from "../../../lib/core/percent.ts";

/** A collector, and what the environment says about its requests and the spans. */
export interface TraceTarget {
  readonly url: URL;
  readonly headers: Readonly<Record<string, string>>;
  readonly timeoutMs: number;
  /** File of the authorities for the collector's certificate. */
  readonly certificate: string | undefined;
  /** Attributes of the service, with `service.name`. */
  readonly resource: Readonly<Record<string, string>>;
  readonly parent: TraceParent | undefined;
}

/** The span that a build belongs to, by W3C's `traceparent`. */
export interface TraceParent {
  /** 32 hexadecimal digits. */
  readonly traceId: string;
  /** 16 hexadecimal digits. */
  readonly spanId: string;
  readonly state: string | undefined;
}

type Env = Readonly<Record<string, string | undefined>>;

/** Limit of the wait for a collector: the build is done, and its caller waits. */
const MAX_TIMEOUT_MS = 2000;

/** Returns whether the environment names a collector; nothing else is read then. */
export function namesCollector(env: Env): boolean {
  return Boolean(env["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"]) || Boolean(env["OTEL_EXPORTER_OTLP_ENDPOINT"]);
}

/**
 * Reads the OTEL_ variables of the OTLP exporter specification. Values are never part of a warning: headers are keys.
 * @returns `target` is undefined where no spans are wanted or possible
 */
export function traceTarget(env: Env): {
  readonly target: TraceTarget | undefined;
  readonly warnings: readonly string[];
} {
  const none = { target: undefined, warnings: [] };
  const either = (name: string): string | undefined =>
    env[`OTEL_EXPORTER_OTLP_TRACES_${name}`] || env[`OTEL_EXPORTER_OTLP_${name}`] || undefined;
  if (/^true$/i.test(env["OTEL_SDK_DISABLED"]?.trim() ?? "")) return none;
  const exporters = (env["OTEL_TRACES_EXPORTER"] || "otlp").split(",").map((name) => name.trim());
  if (!exporters.includes("otlp")) return none;
  const parent = parseParent(env["TRACEPARENT"], env["TRACESTATE"]);
  if (parent === "unsampled") return none;
  const protocol = either("PROTOCOL");
  if (protocol === "grpc") {
    const warning = "The build's trace is not sent: OTEL_EXPORTER_OTLP_PROTOCOL is grpc, and kiln sends by HTTP";
    return { target: undefined, warnings: [warning] };
  }
  const url = endpoint(env);
  if (url === undefined) {
    return {
      target: undefined,
      warnings: ["The build's trace is not sent: the OTLP endpoint is no http or https URL"],
    };
  }
  const headers = pairsOf(either("HEADERS"));
  const usable = headers.filter(([name, value]) => HEADER_NAME.test(name) && HEADER_VALUE.test(value));
  const asked = Number(either("TIMEOUT") ?? MAX_TIMEOUT_MS);
  const target = {
    url,
    headers: Object.fromEntries(usable),
    timeoutMs: asked > 0 ? Math.min(asked, MAX_TIMEOUT_MS) : MAX_TIMEOUT_MS,
    certificate: either("CERTIFICATE"),
    resource: resourceOf(env),
    parent,
  };
  const isWhole = usable.length === headers.length;
  return { target, warnings: isWhole ? [] : ["OTEL_EXPORTER_OTLP_HEADERS has entries that are no headers"] };
}

const HEADER_NAME = /^[!#$%&'*+.^_`|~\w-]+$/;
const HEADER_VALUE = /^[\t\u0020-\u007e\u0080-\u00ff]*$/;

/** Returns where spans go: the URL for traces as it is, or the common one with the path of traces. */
function endpoint(env: Env): URL | undefined {
  const own = env["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"];
  const text = own || env["OTEL_EXPORTER_OTLP_ENDPOINT"] || "";
  const url = URL.parse(text);
  if (url === null || !/^https?:$/.test(url.protocol)) return undefined;
  if (!own) url.pathname = `${url.pathname.replace(/\/+$/, "")}/v1/traces`;
  return url;
}

/** Reads `name=value,name=value`, values percent-encoded. Entries without a name get an empty one. */
function pairsOf(text: string | undefined): readonly (readonly [name: string, value: string])[] {
  const entries = (text ?? "").split(",").filter((entry) => entry.trim() !== "");
  return entries.map((entry) => {
    const [name = "", ...value] = entry.split("=");
    return [percentDecoded(name.trim()), value.length === 0 ? "\n" : percentDecoded(value.join("=").trim())] as const;
  });
}

function resourceOf(env: Env): Readonly<Record<string, string>> {
  const given = pairsOf(env["OTEL_RESOURCE_ATTRIBUTES"]).filter(([name, value]) => name !== "" && value !== "\n");
  const own = env["OTEL_SERVICE_NAME"] ? [["service.name", env["OTEL_SERVICE_NAME"]] as const] : [];
  return Object.fromEntries([["service.name", "kiln"] as const, ...given, ...own]);
}

/** Reads W3C's `traceparent`. One that is malformed counts as absent, as the specification wants. */
function parseParent(text: string | undefined, state: string | undefined): TraceParent | "unsampled" | undefined {
  const match = /^([\da-f]{2})-([\da-f]{32})-([\da-f]{16})-([\da-f]{2})(-.*)?$/.exec(text?.trim() ?? "");
  const [, version = "ff", traceId = "", spanId = "", flags = "00", more] = match ?? [];
  if (version === "ff" || (version === "00" && more !== undefined)) return undefined;
  if (/^0+$/.test(traceId) || /^0+$/.test(spanId)) return undefined;
  if ((Number.parseInt(flags, 16) & 1) === 0) return "unsampled";
  return { traceId, spanId, state: state || undefined };
}
