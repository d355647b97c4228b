import { VERSION } from "../../lib/core/version.ts";
import { type Call, sendJson, type ServerParts } from "./call.ts";
import { openQuietly } from "./images.ts";

/** Versions of the API that are answered: docker's clients speak the highest that both sides know. */
export const API_VERSION = { newest: "1.49", oldest: "1.24" } as const;

/** Headers of every answer, by which clients choose a version and the classic builder. */
export const COMMON_HEADERS = {
  "Api-Version": API_VERSION.newest,
  "Builder-Version": "1",
  "Docker-Experimental": "false",
  Ostype: "linux",
  Server: `kiln/${VERSION} (linux)`,
} as const;

/** `GET /_ping` and `HEAD /_ping`. */
export async function ping({ request, response }: Call): Promise<void> {
  response.writeHead(200, {
    "Content-Type": "text/plain; charset=utf-8",
    "Cache-Control": "no-cache, no-store, must-revalidate",
    Pragma: "no-cache",
    Swarm: "inactive",
    "Content-Length": 2,
  });
  response.end(request.method === "HEAD" ? undefined : "OK");
}

/** `GET /version`. */
export async function version({ server, response }: Call): Promise<void> {
  const facts = {
    ApiVersion: API_VERSION.newest,
    MinAPIVersion: API_VERSION.oldest,
    GitCommit: "",
    GoVersion: "",
    Os: "linux",
    Arch: server.environment.platform.architecture,
    KernelVersion: server.machine.kernel,
    BuildTime: "",
  };
  const details = { ...facts, Experimental: "false" };
  const components = [{ Name: "Engine", Version: VERSION, Details: details }];
  sendJson(response, 200, { Platform: { Name: "kiln" }, Components: components, Version: VERSION, ...facts });
}

/** `GET /info`. */
export async function info({ server, response }: Call): Promise<void> {
  await using engine = openQuietly(server.environment);
  sendJson(response, 200, { ...countsOf(engine.store.images.list().length), ...machineFacts(server), ...NO_ENGINE });
}

function countsOf(images: number): object {
  return { Containers: 0, ContainersRunning: 0, ContainersPaused: 0, ContainersStopped: 0, Images: images };
}

function machineFacts({ environment, machine }: ServerParts): object {
  const { architecture } = environment.platform;
  return {
    ID: "",
    Name: machine.name,
    ServerVersion: VERSION,
    OperatingSystem: `kiln ${VERSION}: builds and images, no containers`,
    OSType: "linux",
    OSVersion: "",
    Architecture: { amd64: "x86_64", arm64: "aarch64" }[architecture] ?? architecture,
    KernelVersion: machine.kernel,
    NCPU: environment.processors,
    MemTotal: machine.memoryBytes,
    DockerRootDir: environment.root,
    Driver: "kiln",
    DriverStatus: [["Store", environment.root]],
    SystemTime: new Date(environment.nowMs()).toISOString(),
  };
}

/** Members that clients read without asking whether they are there. */
const NO_ENGINE = {
  Plugins: { Volume: [], Network: [], Authorization: null, Log: [] },
  MemoryLimit: true,
  SwapLimit: true,
  CpuCfsPeriod: true,
  CpuCfsQuota: true,
  CPUShares: true,
  CPUSet: true,
  PidsLimit: true,
  IPv4Forwarding: true,
  Debug: false,
  NFd: 0,
  NGoroutines: 0,
  NEventsListener: 0,
  LoggingDriver: "",
  CgroupDriver: "none",
  IndexServerAddress: "https://index.docker.io/v1/",
  RegistryConfig: { InsecureRegistryCIDRs: ["127.0.0.0/8"], IndexConfigs: {}, Mirrors: [] },
  GenericResources: null,
  HttpProxy: "",
  HttpsProxy: "",
  NoProxy: "",
  Labels: [],
  ExperimentalBuild: false,
  Runtimes: {},
  DefaultRuntime: "",
  Swarm: {
    NodeID: "",
    NodeAddr: "",
    LocalNodeState: "inactive",
    ControlAvailable: false,
    Error: "",
    RemoteManagers: null,
  },
  LiveRestoreEnabled: false,
  Isolation: "",
  InitBinary: "",
  SecurityOptions: [],
  Warnings: null,
};
