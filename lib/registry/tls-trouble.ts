import { isRecord } from "../core/json.ts";
import { errnoOf } from "../core/errors.ts";
import { printableLine } from "../core/printable.ts";

/** Errors of OpenSSL and Node about certificates, as predicates of "the certificate". */
const CERTIFICATE: Readonly<Record<string, string>> = {
  DEPTH_ZERO_SELF_SIGNED_CERT: "is signed by itself, and this machine does not trust it",
  SELF_SIGNED_CERT_IN_CHAIN: "comes from an authority that is not trusted here",
  UNABLE_TO_GET_ISSUER_CERT: "comes from an authority that is not trusted here",
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: "comes from an authority that is not trusted here",
  UNABLE_TO_VERIFY_LEAF_SIGNATURE:
    "comes from an authority that is not trusted here, or the certificates between are not sent along",
  CERT_UNTRUSTED: "comes from an authority that is not trusted here",
  CERT_REJECTED: "comes from an authority that is not trusted here",
  CERT_SIGNATURE_FAILURE: "does not bear the signature of its authority",
  CERT_REVOKED: "has been revoked",
  INVALID_CA: "comes from an issuer that may not issue any",
  INVALID_PURPOSE: "is not one for servers",
};
const TIMES: Readonly<Record<string, string>> = {
  CERT_HAS_EXPIRED: "has expired",
  CERT_NOT_YET_VALID: "is not valid yet",
};

/** Errors of TLS with a server that does not speak it. */
const NOT_TLS: ReadonlySet<string> = new Set([
  "ERR_SSL_WRONG_VERSION_NUMBER",
  "ERR_SSL_PACKET_LENGTH_TOO_LONG",
  "ERR_SSL_HTTP_REQUEST",
  "EPROTO",
]);

export function isNotTls(error: unknown): boolean {
  return NOT_TLS.has(errnoOf(error) ?? "");
}

/** Describes a TLS problem of a host and its remedy; `undefined` for other errors. */
export function tlsTrouble(error: unknown, host: string): { readonly what: string; readonly hint: string } | undefined {
  const code = errnoOf(error) ?? "";
  const trust = `put the certificate of its authority (PEM) into /etc/docker/certs.d/${host}/ca.crt, or name the registry in "insecure-registries" of /etc/docker/daemon.json`;
  const certificate = CERTIFICATE[code];
  if (certificate !== undefined) return { what: `the certificate of "${host}" ${certificate}`, hint: trust };
  const times = TIMES[code];
  if (times !== undefined) {
    return {
      what: `the certificate of "${host}" ${times}`,
      hint: `its operator must renew it; is the clock of this machine right?`,
    };
  }
  if (code === "ERR_TLS_CERT_ALTNAME_INVALID") {
    const names = namesOf(error);
    const others = names === "" ? "for another name" : `for ${names}`;
    return { what: `the certificate of "${host}" is ${others}`, hint: `ask for it by a name that the certificate has` };
  }
  if (isNotTls(error)) {
    const hint = `if it speaks plain HTTP, name it in "insecure-registries" of /etc/docker/daemon.json, or use --insecure where there is such a flag`;
    return { what: `"${host}" does not speak TLS`, hint };
  }
  if (
    /^ERR_SSL_.*(?:CERTIFICATE_REQUIRED|HANDSHAKE_FAILURE|BAD_CERTIFICATE|UNKNOWN_CA|CERTIFICATE_UNKNOWN)$/.test(code)
  ) {
    const hint = `if it wants one from its clients, put it into /etc/docker/certs.d/${host}/ as client.cert beside client.key`;
    return { what: `"${host}" refuses the connection for want of a certificate that it accepts`, hint };
  }
  if (/^(?:CERT_|ERR_TLS_|ERR_SSL_|UNABLE_TO_|CRL_)/.test(code)) {
    return { what: `TLS with "${host}" fails: ${code.toLowerCase().replaceAll("_", " ")}`, hint: trust };
  }
  return undefined;
}

/** Lists a certificate's names, which Node reports as `DNS:a.example, IP Address:10.0.0.1`. */
function namesOf(error: unknown): string {
  const cert = error instanceof Error && "cert" in error ? error.cert : undefined;
  const found = isRecord(cert) ? cert["subjectaltname"] : undefined;
  const names = typeof found === "string" ? found : "";
  return printableLine(names.replaceAll(/(?:DNS|IP Address):/g, "")).slice(0, 200);
}
