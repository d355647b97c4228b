import { spawn } from "node:child_process";
import { createReadStream, existsSync, statSync } from "node:fs";
import { type IncomingMessage, type ServerResponse, createServer } from "node:http";
import { join, normalize } from "node:path";

/** A loopback server from which both builders fetch. */
export interface Served extends AsyncDisposable {
  /** `http://127.0.0.1:1234` */
  readonly url: string;
}

/** The date of every served file, so that both builders see the same one. */
const LAST_MODIFIED = "Tue, 02 Jan 2024 03:04:05 GMT";

/**
 * Serves the folder over HTTP. A folder `name.git` in it, a bare repository, is also served by git's own `git
 * http-backend`, because the plain file protocol has no shallow clones and both builders ask for them.
 */
export async function serve(folder: string): Promise<Served> {
  const server = createServer((request, response) => {
    const url = new URL(request.url ?? "/", "http://localhost");
    const path = normalize(decodeURIComponent(url.pathname));
    if (path.includes(".git/")) runGit(folder, url, path, request, response);
    else sendFile(join(folder, path), request, response);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("no port to listen on");
  return {
    url: `http://127.0.0.1:${address.port}`,
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

function sendFile(path: string, request: IncomingMessage, response: ServerResponse): void {
  if (!existsSync(path) || !statSync(path).isFile()) {
    response.writeHead(404).end();
    return;
  }
  response.writeHead(200, { "content-length": statSync(path).size, "last-modified": LAST_MODIFIED });
  if (request.method === "HEAD") response.end();
  else createReadStream(path).pipe(response);
}

/** Answers one request through CGI: variables in, headers and body out. */
function runGit(folder: string, url: URL, path: string, request: IncomingMessage, response: ServerResponse): void {
  const child = spawn("git", ["http-backend"], {
    stdio: ["pipe", "pipe", "ignore"],
    env: {
      PATH: process.env["PATH"],
      GIT_PROJECT_ROOT: folder,
      GIT_HTTP_EXPORT_ALL: "1",
      GIT_PROTOCOL: String(request.headers["git-protocol"] ?? ""),
      // Another user may own the repository; git refuses that unless told otherwise.
      GIT_CONFIG_COUNT: "1",
      GIT_CONFIG_KEY_0: "safe.directory",
      GIT_CONFIG_VALUE_0: "*",
      REQUEST_METHOD: request.method ?? "GET",
      QUERY_STRING: url.search.slice(1),
      PATH_INFO: path,
      CONTENT_TYPE: request.headers["content-type"] ?? "",
      HTTP_CONTENT_ENCODING: request.headers["content-encoding"] ?? "",
    },
  });
  request.pipe(child.stdin);
  const chunks: Buffer[] = [];
  child.stdout.on("data", (chunk: Buffer) => chunks.push(chunk));
  child.on("close", () => {
    const answer = Buffer.concat(chunks);
    const end = answer.indexOf("\r\n\r\n");
    const headers = answer.subarray(0, Math.max(end, 0)).toString("latin1").split("\r\n");
    const fields = headers.map((line) => [line.slice(0, line.indexOf(":")), line.slice(line.indexOf(":") + 2)]);
    const status = fields.find(([name]) => name === "Status")?.[1];
    response.writeHead(status === undefined ? 200 : Number.parseInt(status, 10), Object.fromEntries(fields));
    response.end(answer.subarray(end + 4));
  });
}
