/** The cluster or machine that runs steps, as flags and variables name it. */
export interface RemoteOptions {
  /** `grpc://host:port/instance`, `grpcs://...`. */
  readonly url: string;
  /** Limit of steps that run there at one time. */
  readonly jobs?: number | undefined;
  /** True to build here when it is away at the start. */
  readonly fallsBack?: boolean | undefined;
  /** Properties that its workers must have. */
  readonly properties?: readonly { readonly name: string; readonly value: string }[] | undefined;
  readonly access?: RemoteAccess | undefined;
}

/** Credentials for a cluster. Each member that is absent is looked for in the environment. */
export interface RemoteAccess {
  /** `NAME: VALUE`, or `NAME=VALUE`. */
  readonly headers?: readonly string[] | undefined;
  /** Paths of PEM files. */
  readonly certificate?: string | undefined;
  readonly key?: string | undefined;
  readonly ca?: string | undefined;
}
