import { BuildError, unreachable } from "../../lib/core/errors.ts";
import { cleanPath } from "../../lib/core/patterns/clean-path.ts";
import type { ExecMount } from "../../solver/graph/op.ts";
import type { Vertex } from "../../solver/graph/vertex.ts";
import type { MountFlag, RunInstruction } from "../instructions/instruction.ts";
import { type MountSpec, parseMountFlag } from "../instructions/mount.ts";
import { type Shared, type StageState, absolutePath, emptyTree, expandIn } from "./stage-state.ts";

/** Inputs of the RUN under construction. Mounts add the trees they show. */
export type MountedTrees = Vertex[];

interface MountContext {
  readonly state: StageState;
  readonly shared: Shared;
  readonly instruction: RunInstruction;
  readonly trees: MountedTrees;
}

/**
 * Converts the `--mount`s of a RUN, in the order written.
 * @throws {BuildError} `dockerfile/mount` at the flag
 */
export function convertMounts(
  state: StageState,
  instruction: RunInstruction,
  shared: Shared,
  trees: MountedTrees,
): ExecMount[] {
  const context = { state, shared, instruction, trees };
  let agents = 0;
  return instruction.mounts.map((flag, index) => {
    const expand = (text: string): string => expandIn(state, { text, span: flag.span }, instruction, shared);
    const spec = parseMountFlag(flag, expand);
    switch (spec.type) {
      case "bind":
        return bindMount(spec, flag, index, context);
      case "cache":
        return cacheMount(spec, flag, index, context);
      case "tmpfs":
        return tmpfsMount(spec, flag, state);
      case "secret":
        return secretMount(spec, flag, context);
      case "ssh":
        agents += 1;
        return sshMount(spec, flag, agents - 1, context);
      default:
        return unreachable(spec.type);
    }
  });
}

function tmpfsMount(spec: MountSpec, flag: MountFlag, state: StageState): ExecMount {
  const mode = spec.mode === "ro" ? "ro" : undefined;
  return { type: "tmpfs", target: targetOf(spec, flag, state), sizeBytes: spec.sizeBytes, mode };
}

function bindMount(spec: MountSpec, flag: MountFlag, index: number, context: MountContext): ExecMount {
  return {
    type: "bind",
    target: targetOf(spec, flag, context.state),
    input: inputOf(treeOf(flag, index, context), context.trees),
    source: cleanPath(`/${spec.source ?? ""}`),
    mode: spec.mode,
  };
}

function cacheMount(spec: MountSpec, flag: MountFlag, index: number, context: MountContext): ExecMount {
  const target = targetOf(spec, flag, context.state);
  const id = spec.id || cleanPath(spec.target ?? "");
  if (!context.state.outline.cacheMounts.has(id)) context.state.outline.cacheMounts.set(id, flag.span);
  const source = cleanPath(`/${spec.source ?? ""}`);
  const hasOwnership = spec.permissions !== undefined || spec.uid !== undefined || spec.gid !== undefined;
  // A directory used as the seed brings its own mode and owner. Asking for other ones without naming a directory means
  // a new, empty one.
  const isSeeded = (flag.from ?? "") !== "" && (source !== "/" || !hasOwnership);
  const isPlain = source === "/";
  if (!isPlain && (flag.from ?? "") === "") {
    throw new BuildError(
      "dockerfile/mount",
      `Cannot mount a cache: there is no ${JSON.stringify(source)} in an empty cache`,
      {
        span: flag.span,
        hint: "a cache starts with the files of source only together with from: from=STAGE,source=PATH",
      },
    );
  }
  return {
    type: "cache",
    target,
    id: cacheId(id, context.shared),
    sharing: spec.sharing ?? "shared",
    seed: isSeeded ? { input: inputOf(treeOf(flag, index, context), context.trees), source } : undefined,
    mode: spec.mode,
    permissions: (isPlain ? spec.permissions : undefined) ?? 0o755,
    uid: (isPlain ? spec.uid : undefined) ?? 0,
    gid: (isPlain ? spec.gid : undefined) ?? 0,
  };
}

function cacheId(id: string, { options }: Shared): string {
  const namespace = options.cacheMountNamespace ?? options.buildArgs.get("BUILDKIT_CACHE_MOUNT_NS") ?? "";
  return namespace === "" ? id : `${namespace}/${id}`;
}

function secretMount(spec: MountSpec, flag: MountFlag, { state }: MountContext): ExecMount {
  const id = spec.source || spec.id || baseName(spec.target ?? "");
  const known = state.outline.secrets.get(id);
  if (known === undefined) state.outline.secrets.set(id, { required: spec.required, span: flag.span });
  const asked = spec.target || undefined;
  const target = asked ?? (spec.env === undefined ? `/run/secrets/${baseName(id)}` : undefined);
  return {
    type: "secret",
    id,
    target: target === undefined ? undefined : absolutePath(state, target),
    env: spec.env,
    required: spec.required,
    permissions: spec.permissions ?? 0o400,
    uid: spec.uid ?? 0,
    gid: spec.gid ?? 0,
  };
}

function sshMount(spec: MountSpec, flag: MountFlag, ordinal: number, { state }: MountContext): ExecMount {
  if (spec.source !== undefined && spec.source !== "") {
    throw new BuildError("dockerfile/mount", "Cannot mount an ssh agent: ssh does not support source", {
      span: flag.span,
    });
  }
  const id = spec.id || "default";
  if (!state.outline.ssh.has(id)) state.outline.ssh.set(id, { required: spec.required, span: flag.span });
  return {
    type: "ssh",
    id,
    target: absolutePath(state, spec.target || `/run/buildkit/ssh_agent.${ordinal}`),
    required: spec.required,
    permissions: spec.permissions ?? 0o600,
    uid: spec.uid ?? 0,
    gid: spec.gid ?? 0,
  };
}

/** Finds the tree that `from` names, or the build context. */
function treeOf(flag: MountFlag, index: number, { state, shared, instruction }: MountContext): Vertex {
  const planned = shared.plan.sources.get(instruction)?.[index];
  if (planned === undefined) return shared.context ?? emptyTree(shared);
  const source = shared.states.get(planned);
  if (source !== undefined) return source.tree ?? emptyTree(shared);
  const [from, to] = [JSON.stringify(flag.from ?? ""), JSON.stringify(state.planned.label)];
  const message = `Cannot mount from stage ${from} to ${to}: stage needs to be defined before current command`;
  throw new BuildError("dockerfile/unknown-stage", message, {
    span: flag.span,
    hint: "move that stage above this one",
  });
}

function inputOf(tree: Vertex, trees: MountedTrees): number {
  const known = trees.findIndex((other) => other.digest === tree.digest);
  return known === -1 ? trees.push(tree) - 1 : known;
}

/** Resolves the target relative to the working directory. */
function targetOf(spec: MountSpec, flag: MountFlag, state: StageState): string {
  const target = absolutePath(state, spec.target ?? "");
  if (target !== "/") return target;
  throw new BuildError(
    "dockerfile/mount",
    `Cannot mount over the root: invalid mount target ${JSON.stringify(target)}`,
    {
      span: flag.span,
      hint: "give the directory with target=",
    },
  );
}

function baseName(path: string): string {
  return path.split("/").findLast((name) => name !== "") ?? path;
}
