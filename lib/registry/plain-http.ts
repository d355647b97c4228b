/** Time for an answer, in milliseconds. A server that takes longer is asked in the ordinary way. */
const PATIENCE_MS = 1000;

/**
 * The beginning of a TLS connection, without any wishes. A server that knows TLS answers with a record of TLS, if only to refuse; one
 * that knows HTTP takes it for a broken request. The two line ends are for those who read lines. RFC 8446, 4.1.2 and 5.1.
 */
function clientHello(): Buffer {
  const body = Buffer.concat([
    Buffer.of(0x03, 0x03),
    Buffer.alloc(32, 0x6b),
    // No session; one cipher suite; no compression.
    Buffer.of(0, 0, 2, 0xc0, 0x2f, 1, 0),
  ]);
  const message = Buffer.concat([Buffer.of(1, 0, 0, body.length), body]);
  return Buffer.concat([Buffer.of(0x16, 0x03, 0x01, 0, message.length), message, Buffer.from("\r\n\r\n")]);
}

/** Tells whether a server answers the beginning of TLS with words of HTTP. Nothing else is said to it. */
export async function speaksPlainHttp(url: URL, signal: AbortSignal): Promise<boolean> {
  const { connect } = process.getBuiltinModule("node:net");
  const host = url.hostname.replace(/^\[(.*)\]$/, "$1");
  const port = url.port === "" ? 443 : Number(url.port);
  return new Promise((resolve) => {
    const socket = connect({ host, port, signal, autoSelectFamily: true, timeout: PATIENCE_MS });
    const end = (isPlain: boolean): void => {
      socket.destroy();
      resolve(isPlain);
    };
    socket.once("connect", () => socket.write(clientHello()));
    socket.once("data", (bytes) => end(bytes.toString("latin1", 0, 5) === "HTTP/"));
    for (const event of ["error", "timeout", "close"]) socket.once(event, () => end(false));
  });
}
