import { type AddressInfo, connect, createServer, type Socket } from "node:net";

/** A proxy that breaks connections: each is cut after a given number of bytes, in turn; later ones hold. */
export interface CuttingProxy extends AsyncDisposable {
  /** `127.0.0.1:40123` */
  readonly host: string;
  /** Sets the next connections to cut, and where: after bytes to the server or bytes from it, whichever comes first. */
  cut(...after: readonly { readonly sentBytes?: number; readonly receivedBytes?: number }[]): void;
  /** Number of connections cut so far. */
  readonly cuts: number;
}

export async function startCuttingProxy(target: {
  readonly host: string;
  readonly port: number;
}): Promise<CuttingProxy> {
  const waiting: { readonly sentBytes?: number; readonly receivedBytes?: number }[] = [];
  const sockets = new Set<Socket>();
  let cuts = 0;
  const server = createServer((client) => {
    const upstream = connect(target.port, target.host);
    const end = (): void => {
      client.destroy();
      upstream.destroy();
    };
    for (const socket of [client, upstream]) {
      sockets.add(socket);
      socket.on("error", end).on("close", end);
      socket.on("close", () => sockets.delete(socket));
    }
    // The next bytes are cut, also on a connection that was used before.
    const pass = (from: Socket, into: Socket, limit: "sentBytes" | "receivedBytes"): void => {
      let seen = 0;
      from.on("data", (chunk: Buffer) => {
        const most = waiting[0]?.[limit];
        seen = most === undefined ? 0 : seen + chunk.length;
        if (most === undefined || seen <= most) {
          if (!into.write(chunk)) from.pause();
          return;
        }
        waiting.shift();
        cuts += 1;
        end();
      });
      into.on("drain", () => from.resume());
    };
    pass(client, upstream, "sentBytes");
    pass(upstream, client, "receivedBytes");
  });
  await new Promise<void>((resolve) => {
    server.listen(0, "127.0.0.1", resolve);
  });
  return {
    host: `127.0.0.1:${(server.address() as AddressInfo).port}`,
    cut: (...after) => void waiting.push(...after),
    get cuts() {
      return cuts;
    },
    [Symbol.asyncDispose]: async () => {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
