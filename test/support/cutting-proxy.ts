import { type AddressInfo, connect, createServer, type Socket } from "node:net";

/** A way to a server that breaks: connections are cut after so many bytes, each in its turn; later ones hold. */
export interface CuttingProxy extends AsyncDisposable {
  /** `127.0.0.1:40123` */
  readonly host: string;
  /** Connections that are to be cut, and where: bytes to the server and bytes from it, whichever comes first. */
  cut(...after: readonly { readonly sentBytes?: number; readonly receivedBytes?: number }[]): void;
  /** How many have been. */
  readonly cuts: number;
}

export async function startCuttingProxy(to: { readonly host: string; readonly port: number }): Promise<CuttingProxy> {
  const waiting: { readonly sentBytes?: number; readonly receivedBytes?: number }[] = [];
  const sockets = new Set<Socket>();
  let cuts = 0;
  const server = createServer((client) => {
    const upstream = connect(to.port, to.host);
    const end = (): void => {
      client.destroy();
      upstream.destroy();
    };
    for (const socket of [client, upstream]) {
      sockets.add(socket);
      socket.on("error", end).on("close", end);
      socket.on("close", () => sockets.delete(socket));
    }
    // What is cut is what comes next, also on a connection that has been used before.
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
