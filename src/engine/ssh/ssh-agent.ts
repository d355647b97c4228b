import type { Socket } from "node:net";
import type { SshKey } from "./ssh-keys.ts";
import { SshReader, text, uint32, words } from "./ssh-wire.ts";

/** Message numbers of the agent's protocol (draft-miller-ssh-agent, 5.1). */
const FAILURE = 5;
const REQUEST_IDENTITIES = 11;
const IDENTITIES_ANSWER = 12;
const SIGN_REQUEST = 13;
const SIGN_RESPONSE = 14;

/** Size limit of a message, as in OpenSSH's own agent. */
const MAX_MESSAGE_BYTES = 256 * 1024;

/** Serves one connection as an agent with these keys: it lists them and signs, and refuses everything else. */
export function serveKeys(keys: readonly SshKey[]): (client: Socket) => void {
  return (client) => {
    let pending: Buffer = Buffer.alloc(0);
    client.on("error", () => client.destroy());
    client.on("data", (chunk: Buffer) => {
      pending = Buffer.concat([pending, chunk]);
      while (pending.length >= 4) {
        const length = pending.readUInt32BE(0);
        if (length === 0 || length > MAX_MESSAGE_BYTES) {
          client.destroy();
          return;
        }
        if (pending.length < 4 + length) return;
        client.write(words(answer(keys, pending.subarray(4, 4 + length))));
        pending = pending.subarray(4 + length);
      }
    });
  };
}

function answer(keys: readonly SshKey[], message: Buffer): Buffer {
  try {
    switch (message[0]) {
      case REQUEST_IDENTITIES: {
        const listed = keys.map(({ publicBlob, comment }) => words(publicBlob, text(comment)));
        return Buffer.concat([Buffer.of(IDENTITIES_ANSWER), uint32(keys.length), ...listed]);
      }
      case SIGN_REQUEST: {
        const reader = new SshReader(message.subarray(1));
        const wanted = reader.bytes();
        const data = reader.bytes();
        const flags = reader.number();
        const key = keys.find(({ publicBlob }) => publicBlob.equals(wanted));
        if (key === undefined) return Buffer.of(FAILURE);
        return Buffer.concat([Buffer.of(SIGN_RESPONSE), words(key.sign(data, flags))]);
      }
      default:
        return Buffer.of(FAILURE);
    }
  } catch {
    // A malformed message is the client's mistake: the protocol has one answer to it.
    return Buffer.of(FAILURE);
  }
}
