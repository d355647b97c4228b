import { readFileSync } from "node:fs";
import type { IncomingMessage, RequestOptions } from "node:http";
import { join } from "node:path";
import { PassThrough, type Readable } from "node:stream";
import { createHash } from "node:crypto";
import { BuildError, errnoOf, messageOf } from "../../../lib/core/errors.ts";
import { isRecord, parseJson } from "../../../lib/core/json.ts";
import { printableLine } from "../../../lib/core/printable.ts";
import { familiarReference, parseReference } from "../../../lib/core/reference.ts";
import { engineFailure, type ImageEngine, NO_CONNECTION, UnreachableRegistryError } from "./image-engine.ts";

/** Docker's address, from the environment and docker's own settings. */
export interface DockerPlace {
  readonly env: Readonly<Record<string, string | undefined>>;
  /** docker's directory with config.json and contexts. */
  readonly configDirectory: string;
  /** Name of a context, which comes before everything else. */
  readonly context: string | undefined;
}

const MAX_ANSWER_BYTES = 4 << 20;

/** Makes docker's engine, reached by its API. Nothing is asked yet. */
export function dockerEngine(place: DockerPlace): ImageEngine {
  const address = dockerAddress(place);
  const api = new Api(address, place.env);
  return {
    async has(configDigest, signal) {
      const { status } = await api.ask("GET", `/images/${configDigest}/json`, signal);
      return status === 200;
    },
    async keeps(signal) {
      const { json } = await api.ask("GET", "/info", signal);
      const status = isRecord(json) && Array.isArray(json["DriverStatus"]) ? JSON.stringify(json["DriverStatus"]) : "";
      return status.includes("io.containerd.snapshotter") ? "all platforms" : "one platform";
    },
    async pull(reference, platforms, signal) {
      if (!address.startsWith("unix:")) throw new UnreachableRegistryError("docker", `it is at ${address}`);
      const { repository, tag } = splitTag(reference);
      for (const platform of platforms.length === 0 ? [""] : platforms) {
        const query = new URLSearchParams({ fromImage: repository, tag, platform });
        const { status, json } = await api.ask("POST", `/images/create?${query.toString()}`, signal);
        const failure = messageIn(json);
        if (failure !== undefined && NO_CONNECTION.test(failure)) throw new UnreachableRegistryError("docker", failure);
        if (status !== 200 || failure !== undefined) {
          throw engineFailure("docker", "load into", failure ?? `it answered ${status}`);
        }
      }
    },
    async tag(from, to, signal) {
      const { repository, tag } = splitTag(familiarReference(parseReference(to), "shown"));
      const query = new URLSearchParams({ repo: repository, tag });
      await api.must("POST", `/images/${from}/tag?${query.toString()}`, 201, signal);
    },
    async untag(reference, signal) {
      await api.must("DELETE", `/images/${reference}?noprune=1`, 200, signal);
    },
    async save(name, signal) {
      const response = await api.open("GET", `/images/${encodeURIComponent(name)}/get`, signal);
      if (response.statusCode === 200) return response;
      const { status, json } = await answerOf(response);
      throw new BuildError(
        "image/not-found",
        `Cannot get ${JSON.stringify(name)} from docker: ${messageIn(json) ?? `it answered ${status}`}`,
      );
    },
    async load(write, signal) {
      const body = new PassThrough();
      const answered = api.ask("POST", "/images/load?quiet=1", signal, body);
      const [{ status, json }] = await Promise.all([answered, write(async () => body)]);
      const failure = messageIn(json);
      if (status !== 200 || failure !== undefined) {
        throw engineFailure("docker", "load into", failure ?? `it answered ${status}`);
      }
    },
  };
}

/** Splits at the colon of the tag. */
function splitTag(reference: string): { readonly repository: string; readonly tag: string } {
  const colon = reference.lastIndexOf(":");
  return { repository: reference.slice(0, colon), tag: reference.slice(colon + 1) };
}

/** Finds an error among the lines of an answer, or in its only object. */
function messageIn(json: unknown): string | undefined {
  const lines: readonly unknown[] = Array.isArray(json) ? json : [json];
  for (const line of lines) {
    const text = isRecord(line) ? (line["error"] ?? line["message"]) : undefined;
    if (typeof text === "string") return printableLine(text);
  }
  return undefined;
}

/** Finds docker's address: a context, DOCKER_HOST, the context that config.json names, or the usual socket. */
function dockerAddress({ env, configDirectory, context }: DockerPlace): string {
  const host = env["DOCKER_HOST"];
  if (context === undefined && host !== undefined && host !== "") return host;
  const name = context ?? (env["DOCKER_CONTEXT"] || currentContext(configDirectory));
  if (name === undefined || name === "default") return "unix:///var/run/docker.sock";
  const id = createHash("sha256").update(name).digest("hex");
  const meta = jsonIn(join(configDirectory, "contexts", "meta", id, "meta.json"));
  const endpoints = isRecord(meta) ? meta["Endpoints"] : undefined;
  const docker = isRecord(endpoints) ? endpoints["docker"] : undefined;
  const found = isRecord(docker) ? docker["Host"] : undefined;
  if (typeof found === "string" && found !== "") return found;
  throw engineFailure(
    "docker",
    "load into",
    `there is no context ${JSON.stringify(name)}`,
    "docker context ls lists them",
  );
}

function currentContext(configDirectory: string): string | undefined {
  const config = jsonIn(join(configDirectory, "config.json"));
  const name = isRecord(config) ? config["currentContext"] : undefined;
  return typeof name === "string" && name !== "" ? name : undefined;
}

function jsonIn(path: string): unknown {
  try {
    return parseJson(readFileSync(path, "utf8"));
  } catch {
    return undefined;
  }
}

interface Answer {
  readonly status: number;
  /** One object, or a list of those that came line by line; `undefined` for an empty answer. */
  readonly json: unknown;
}

class Api {
  readonly #address: string;
  readonly #options: RequestOptions;
  readonly #isEncrypted: boolean;

  constructor(address: string, env: DockerPlace["env"]) {
    this.#address = address;
    const url = URL.canParse(address) ? new URL(address) : undefined;
    const certificates = env["DOCKER_TLS_VERIFY"] ? env["DOCKER_CERT_PATH"] : undefined;
    this.#isEncrypted = certificates !== undefined;
    if (url?.protocol === "unix:") this.#options = { socketPath: url.pathname };
    else if (url?.protocol === "tcp:" || url?.protocol === "http:") {
      this.#options = { host: url.hostname, port: url.port || "2375", ...certificatesIn(certificates) };
    } else {
      throw engineFailure(
        "docker",
        "load into",
        `it is at ${address}, which kiln does not speak`,
        "kiln build -o type=docker,dest=- ... | docker load",
      );
    }
  }

  async must(method: string, path: string, status: number, signal: AbortSignal): Promise<void> {
    const answer = await this.ask(method, path, signal);
    if (answer.status === status) return;
    throw engineFailure("docker", "load into", messageIn(answer.json) ?? `it answered ${answer.status}`);
  }

  /** Sends a request and reads the whole answer. */
  async ask(method: string, path: string, signal: AbortSignal, body?: Readable): Promise<Answer> {
    return this.#told(async () => answerOf(await this.#send(method, path, signal, body)), signal);
  }

  /** Sends a request, and hands over the answer unread. */
  async open(method: string, path: string, signal: AbortSignal): Promise<IncomingMessage> {
    return this.#told(() => this.#send(method, path, signal), signal);
  }

  async #send(method: string, path: string, signal: AbortSignal, body?: Readable): Promise<IncomingMessage> {
    // Loaded late: Node's HTTP cannot be part of a startup snapshot.
    const { request: send } = this.#isEncrypted ? await import("node:https") : await import("node:http");
    return new Promise<IncomingMessage>((resolve, reject) => {
      const headers = { host: "docker", ...(body === undefined ? {} : { "content-type": "application/x-tar" }) };
      const request = send({ ...this.#options, method, path, headers, signal }, resolve);
      request.once("error", reject);
      if (body === undefined) request.end();
      else body.once("error", (error) => request.destroy(error)).pipe(request);
    });
  }

  async #told<T>(work: () => Promise<T>, signal: AbortSignal): Promise<T> {
    try {
      return await work();
    } catch (error) {
      signal.throwIfAborted();
      const isMissing = errnoOf(error) === "ENOENT" || errnoOf(error) === "ECONNREFUSED";
      const why = isMissing ? "nothing answers there" : messageOf(error);
      const hint = isMissing ? "is it running? DOCKER_HOST and docker contexts say where it is" : undefined;
      throw engineFailure("docker", "reach", `${this.#address}: ${why}`, hint);
    }
  }
}

/** Reads an answer. Lines of progress are not needed: the last ones say how it ended. */
async function answerOf(response: IncomingMessage): Promise<Answer> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of response as AsyncIterable<Buffer>) {
    size += chunk.length;
    if (size > MAX_ANSWER_BYTES) chunks.shift();
    chunks.push(chunk);
  }
  return { status: response.statusCode ?? 0, json: jsonOf(Buffer.concat(chunks).toString("utf8")) };
}

function jsonOf(text: string): unknown {
  const lines = text.split(/\r?\n/).filter((line) => line.trim() !== "");
  return lines.length === 1 ? parseJson(lines[0] ?? "") : lines.map((line) => parseJson(line));
}

function certificatesIn(directory: string | undefined): { ca?: Buffer; cert?: Buffer; key?: Buffer } {
  if (directory === undefined) return {};
  const [ca, cert, key] = ["ca.pem", "cert.pem", "key.pem"].map((name) => readFileSync(join(directory, name)));
  return {
    ...(ca === undefined ? {} : { ca }),
    ...(cert === undefined ? {} : { cert }),
    ...(key === undefined ? {} : { key }),
  };
}
