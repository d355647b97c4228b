/** The part of dockerode that the tests use; its own package has no types. */
declare module "dockerode" {
  interface Image {
    inspect(): Promise<{ Id: string; RepoTags: string[]; Config: { Labels?: Record<string, string>; Cmd?: string[] } }>;
    history(): Promise<readonly { Id: string; CreatedBy: string }[]>;
    tag(options: { repo: string; tag?: string }): Promise<unknown>;
    push(options: { tag?: string; authconfig?: object }): Promise<NodeJS.ReadableStream>;
    remove(options?: { force?: boolean }): Promise<readonly Record<string, string>[]>;
    get(): Promise<NodeJS.ReadableStream>;
  }
  export default class Docker {
    constructor(options: { socketPath: string; version?: string });
    readonly modem: {
      followProgress(
        stream: NodeJS.ReadableStream,
        done: (error: Error | null, messages: readonly Record<string, unknown>[]) => void,
      ): void;
    };
    ping(): Promise<Buffer>;
    version(): Promise<{ ApiVersion: string; Version: string }>;
    info(): Promise<{ Images: number }>;
    buildImage(
      archive: NodeJS.ReadableStream | Buffer | { context: string; src: readonly string[] },
      options: object,
    ): Promise<NodeJS.ReadableStream>;
    loadImage(archive: NodeJS.ReadableStream): Promise<NodeJS.ReadableStream>;
    importImage(archive: NodeJS.ReadableStream, options: object): Promise<NodeJS.ReadableStream>;
    pull(name: string, options?: object): Promise<NodeJS.ReadableStream>;
    checkAuth(account: object): Promise<{ Status: string }>;
    listImages(options?: object): Promise<readonly { Id: string; RepoTags: string[]; Labels: object | null }[]>;
    getImage(name: string): Image;
    createContainer(options: object): Promise<unknown>;
    searchImages(options: object): Promise<unknown>;
  }
}
