import { execFileSync, spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createServer } from "node:https";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { BuildError } from "../core/errors.ts";
import { parseReference } from "../core/reference.ts";
import { createRegistryClient } from "./client.ts";
import { tlsTrouble } from "./tls-trouble.ts";
import type { HostSettings } from "./host.ts";

test.each([
  ["DEPTH_ZERO_SELF_SIGNED_CERT", "is signed by itself", "/etc/docker/certs.d/r.example:5000/ca.crt"],
  ["SELF_SIGNED_CERT_IN_CHAIN", "an authority that is not trusted here", "insecure-registries"],
  ["UNABLE_TO_VERIFY_LEAF_SIGNATURE", "an authority that is not trusted here", "ca.crt"],
  ["UNABLE_TO_GET_ISSUER_CERT_LOCALLY", "an authority that is not trusted here", "ca.crt"],
  ["CERT_HAS_EXPIRED", "has expired", "clock"],
  ["CERT_NOT_YET_VALID", "is not valid yet", "clock"],
  ["ERR_TLS_CERT_ALTNAME_INVALID", "is for another name", "by a name that the certificate has"],
  ["ERR_SSL_WRONG_VERSION_NUMBER", "does not speak TLS", "insecure-registries"],
  ["EPROTO", "does not speak TLS", "--insecure"],
  ["ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED", "for want of a certificate", "client.cert beside client.key"],
  ["ERR_SSL_SSLV3_ALERT_HANDSHAKE_FAILURE", "for want of a certificate", "client.key"],
  ["ERR_SSL_TLSV1_ALERT_PROTOCOL_VERSION", "TLS with", "ca.crt"],
])("%s in words about the host", (code, what, hint) => {
  const error = Object.assign(new Error("try running Node.js with --use-system-ca"), { code });
  const trouble = tlsTrouble(error, "r.example:5000");
  expect(trouble?.what).toContain(what);
  expect(trouble?.what).toContain('"r.example:5000"');
  expect(trouble?.hint).toContain(hint);
  expect(`${trouble?.what} ${trouble?.hint}`).not.toContain("Node");
});

test("other errors are none of TLS", () => {
  expect(tlsTrouble(Object.assign(new Error("x"), { code: "ECONNREFUSED" }), "r.example")).toBeUndefined();
});

const openssl = spawnSync("openssl", ["version"]).status === 0;

describe.skipIf(!openssl)("a server by TLS", () => {
  const directory = mkdtempSync(join(tmpdir(), "kiln-tls-"));
  let own: { cert: string; key: string };
  const server = createServer((_, response) => void response.writeHead(404).end());

  beforeAll(async () => {
    const [key, cert] = [join(directory, "key.pem"), join(directory, "cert.pem")];
    const subject = ["-subj", "/CN=registry.test", "-addext", "subjectAltName=DNS:registry.test"];
    const form = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"];
    execFileSync("openssl", ["req", "-x509", ...form, ...subject, "-keyout", key, "-out", cert], { stdio: "ignore" });
    own = { cert: readFileSync(cert, "utf8"), key: readFileSync(key, "utf8") };
    server.setSecureContext(own);
    await new Promise<void>((resolve) => {
      server.listen(0, "127.0.0.1", resolve);
    });
  });

  afterAll(() => {
    server.close();
    rmSync(directory, { recursive: true });
  });

  async function failureWith(settings: HostSettings): Promise<BuildError> {
    const host = `127.0.0.1:${(server.address() as AddressInfo).port}`;
    await using client = createRegistryClient({
      credentials: { get: async () => undefined },
      userAgent: "kiln-test",
      hosts: new Map([[host, settings]]),
      clock: { nowMs: () => 0 },
      timer: { async wait() {} },
    });
    const error: unknown = await client
      .resolve(parseReference(`${host}/app:1`), new AbortController().signal)
      .catch((unknown: unknown) => unknown);
    if (error instanceof BuildError) return error;
    throw new Error("It did not fail");
  }

  test("with an unknown certificate is an error that says so", async () => {
    const error = await failureWith({});
    expect(error.message).toMatch(/the certificate of "127.0.0.1:\d+" is signed by itself/);
    expect(error.hint).toMatch(/certs\.d\/127\.0\.0\.1:\d+\/ca\.crt/);
  });

  test("with a certificate for another name is an error with that name", async () => {
    const error = await failureWith({ ca: [own.cert] });
    expect(error.message).toMatch(/the certificate of "127.0.0.1:\d+" is for registry\.test/);
  });

  test("that is allowed to be insecure is asked", async () => {
    expect((await failureWith({ insecure: true })).code).toBe("registry/not-found");
  });
});
