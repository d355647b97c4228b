import { BuildError } from "../../../lib/core/errors.ts";

const DOCKERFILE_WAY = "a last stage FROM scratch with COPY --from=build / /";
const NOT_NEEDED = "leave it out: it is not needed";
const CERTIFICATES = "put ca.crt, client.cert and client.key into ~/.config/docker/certs.d/REGISTRY/";
const CACHE = "use --cache-from and --cache-to type=registry,ref=NAME: every kind of step is cached";
const RETRIES = "leave it out: what fails in passing is tried five times";
const SNAPSHOT = "leave it out: what a step changed is known without looking at its files";

/** Flags of kaniko, buildah and podman, without their dashes, and kiln's way. docs/migrating.md has the same, in tables. */
export const ELSEWHERE: Readonly<Record<string, string>> = {
  // kaniko
  context: "give the context as the last argument: a path, a URL or -",
  "context-sub-path": "write it into the URL: https://host/repo.git#REF:DIR",
  dockerfile: "use -f FILE",
  destination: "use --push -t NAME",
  "no-push": "leave it out: without --push the image stays in the local store",
  "tar-path": "use -o type=docker,dest=FILE",
  "oci-layout-path": "use -o type=oci,dest=DIR,tar=false",
  "digest-file": "use --metadata-file FILE: containerimage.digest",
  "image-name-with-digest-file": "use --metadata-file FILE: image.name and containerimage.digest",
  "image-name-tag-with-digest-file": "use --metadata-file FILE: image.name and containerimage.digest",
  cache: CACHE,
  "cache-repo": CACHE,
  "cache-copy-layers": CACHE,
  "cache-run-layers": CACHE,
  "no-push-cache": "leave out --cache-to",
  "cache-dir": "keep the store on a volume (--root or KILN_ROOT), or use --cache-to type=local,dest=DIR",
  "cache-ttl": "use keep-days=N of --cache-to type=local; a registry removes old tags by rules of its own",
  "compressed-caching": "use compression= of --cache-to",
  compression: "use compression= of -o and --cache-to",
  "compression-level": "use compression-level= of -o and --cache-to",
  "custom-platform": "use --platform, several separated by commas",
  "single-snapshot": "use --squash",
  "registry-mirror": "use registry-mirrors in ~/.config/docker/daemon.json",
  "registry-map": "use registry-mirrors in ~/.config/docker/daemon.json",
  "insecure-registry": "use insecure-registries in ~/.config/docker/daemon.json",
  "registry-certificate": CERTIFICATES,
  "registry-client-cert": CERTIFICATES,
  insecure: "use -o type=registry,registry.insecure=true",
  "insecure-pull": "use insecure-registries in ~/.config/docker/daemon.json",
  "skip-tls-verify": "use -o type=registry,registry.insecure=true",
  "skip-tls-verify-pull": "use insecure-registries in ~/.config/docker/daemon.json",
  "skip-tls-verify-registry": "use insecure-registries in ~/.config/docker/daemon.json",
  "push-retry": RETRIES,
  "image-download-retry": RETRIES,
  "image-fs-extract-retry": RETRIES,
  retry: RETRIES,
  "retry-delay": RETRIES,
  "log-format": "use --progress rawjson",
  "log-timestamp": "use --progress rawjson",
  verbosity: "use --progress plain",
  bucket: "fetch the archive with the provider's own tool, and pipe it into kiln build -",
  "credential-helpers": "name them in credHelpers of docker's config.json, and put them on PATH",
  "push-ignore-immutable-tag-errors": "leave it out: a tag that must not change is an error",
  "force-build-metadata": SNAPSHOT,
  "snapshot-mode": SNAPSHOT,
  "use-new-run": SNAPSHOT,
  "ignore-path": SNAPSHOT,
  "ignore-var-run": SNAPSHOT,
  cleanup: NOT_NEEDED,
  "pre-cleanup": NOT_NEEDED,
  "preserve-context": NOT_NEEDED,
  materialize: NOT_NEEDED,
  "skip-push-permission-check": NOT_NEEDED,
  "skip-default-registry-fallback": NOT_NEEDED,
  force: NOT_NEEDED,
  "kaniko-dir": "use --root DIR",
  git: "write the branch or commit into the URL: https://host/repo.git#REF",
  "skip-unused-stages": "leave it out: stages that the target does not need are never built",
  // buildah, podman build
  ignorefile: "name the file Dockerfile.dockerignore, beside the Dockerfile",
  layers: "leave it out: every step is cached",
  "squash-all": DOCKERFILE_WAY,
  format: "use -o type=image,oci-mediatypes=false for docker's format, =true (the default) for OCI's",
  from: "use --build-context NAME=docker-image://IMAGE, for the NAME that FROM says",
  volume: "use RUN --mount=type=bind,from=NAME,target=TARGET with --build-context NAME=HOST",
  manifest: "use --platform a,b -t NAME: the result is an index",
  "all-platforms": "name them: --platform a,b",
  arch: "use --platform linux/ARCH",
  os: "use --platform OS/ARCH",
  variant: "use --platform OS/ARCH/VARIANT",
  creds: "run kiln login before, or use --authfile FILE",
  "cert-dir": CERTIFICATES,
  "tls-verify": "use -o type=registry,registry.insecure=true, and insecure-registries in daemon.json for pulls",
  timestamp: "use SOURCE_DATE_EPOCH=SECONDS, with rewrite-timestamp=true for files too",
  "source-date-epoch": "use SOURCE_DATE_EPOCH=SECONDS",
  "rewrite-timestamp": "use -o type=image,rewrite-timestamp=true",
  logfile: "redirect standard error: 2> FILE",
  env: "write ENV into the Dockerfile, or use --build-arg with ARG",
  "build-arg-file": "use --build-arg NAME=VALUE, one for each line",
  "cap-add": "use RUN --security=insecure with --allow security.insecure",
  "cap-drop": "leave it out: steps have docker's capabilities",
};

/**
 * Refuses a flag of other builders that kiln spells otherwise.
 * @throws {BuildError} `cli/usage`
 */
export function refuseElsewhere(command: string, flag: string): void {
  const name = flag === "-v" ? "volume" : flag.replace(/^-+/, "");
  if (command !== "build" || !Object.hasOwn(ELSEWHERE, name)) return;
  throw new BuildError("cli/usage", `unknown option '${flag}': it is another builder's`, { hint: ELSEWHERE[name] });
}
