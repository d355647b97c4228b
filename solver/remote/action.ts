import { hexOf } from "../../lib/core/digest.ts";
import { type Blob, documentBlob, toBlobDigest } from "../../lib/reapi/blobs.ts";
import { Action, Command, Directory, type DirectoryNode, type FileNode } from "../../lib/reapi/protocol.ts";
import { EXAMINATION_FILE } from "./examination.ts";
import { LAYER_FILE, LAYERS_FOLDER, RESULT_FILE, STEP_FILE, type StepDocument } from "./step-document.ts";

/** A file of an action's folder. */
export interface ActionFile {
  readonly path: string;
  readonly blob: Blob;
  readonly isExecutable: boolean;
}

/** The program that a worker starts: its files, and the words that start it, relative to its own folder. */
export interface WorkerProgram {
  readonly files: readonly ActionFile[];
  readonly command: readonly string[];
}

/** An action, and all blobs that it is made of. */
export interface StepAction {
  readonly action: Blob;
  readonly blobs: readonly Blob[];
}

const PROGRAM_FOLDER = "kiln";

/** Properties of a worker that the action asks for: `OSFamily=linux`. */
export type WorkerProperties = readonly { readonly name: string; readonly value: string }[];

/** Makes an action of a step: equal steps are equal actions, on every machine. */
export function stepAction(
  document: StepDocument,
  layers: readonly Blob[],
  program: WorkerProgram,
  properties: WorkerProperties,
): StepAction {
  const step = documentBlob(Buffer.from(JSON.stringify(document)));
  const files: ActionFile[] = [
    { path: STEP_FILE, blob: step, isExecutable: false },
    ...layers.map((blob) => ({
      path: `${LAYERS_FOLDER}/blobs/sha256/${hexOf(blob.digest)}`,
      blob,
      isExecutable: false,
    })),
  ];
  const call = { words: [STEP_FILE], files, outputs: [LAYER_FILE, RESULT_FILE], isCached: true };
  return workerAction(call, program, properties);
}

/** Makes the action in which a worker examines its machine. Its result is true for that moment only. */
export function examineAction(program: WorkerProgram, properties: WorkerProperties): StepAction {
  const call = { words: ["--examine"], files: [], outputs: [EXAMINATION_FILE], isCached: false };
  return workerAction(call, program, properties);
}

/** A run of `kiln worker-run` in a folder of its own. */
interface WorkerCall {
  readonly words: readonly string[];
  /** Files beside the program. */
  readonly files: readonly ActionFile[];
  readonly outputs: readonly string[];
  /** False for a result that no other client may be given. */
  readonly isCached: boolean;
}

function workerAction(
  { words, files, outputs, isCached }: WorkerCall,
  program: WorkerProgram,
  properties: WorkerProperties,
): StepAction {
  const own = programTree(program);
  const folders = inputTree(files, new Map([[PROGRAM_FOLDER, own]]));
  const [root] = folders;
  const start = program.command.map((word) => word.replace(/^\.\//, `${PROGRAM_FOLDER}/`));
  const command = documentBlob(
    Command.encode({
      arguments: [...start, "worker-run", ...words],
      environment: [],
      outputFiles: outputs,
      outputPaths: outputs,
      platform: { properties },
    }),
  );
  const action = documentBlob(
    Action.encode({
      commandDigest: toBlobDigest(command),
      inputRootDigest: root === undefined ? undefined : toBlobDigest(root),
      ...(isCached ? {} : { doNotCache: true }),
      platform: { properties },
    }),
  );
  const given = [...files, ...program.files].map(({ blob }) => blob);
  return { action, blobs: [...given, ...own, ...folders, command, action] };
}

/** Folders of programs: hundreds of files, the same ones for every step of a build. */
const programTrees = new WeakMap<WorkerProgram, readonly Blob[]>();

function programTree(program: WorkerProgram): readonly Blob[] {
  const known = programTrees.get(program);
  if (known !== undefined) return known;
  const made = inputTree(program.files);
  programTrees.set(program, made);
  return made;
}

/**
 * Makes the documents of a tree of folders, the root first. Equal folders are one document.
 * @param ready folders whose documents there are already, by name
 */
function inputTree(
  files: readonly ActionFile[],
  ready: ReadonlyMap<string, readonly Blob[]> = new Map(),
): readonly Blob[] {
  const nodes: FileNode[] = [];
  const below = new Map<string, ActionFile[]>();
  for (const file of files) {
    const [name = "", ...rest] = file.path.split("/");
    if (rest.length === 0) nodes.push({ name, digest: toBlobDigest(file.blob), isExecutable: file.isExecutable });
    else below.set(name, [...(below.get(name) ?? []), { ...file, path: rest.join("/") }]);
  }
  const folders: Blob[] = [];
  const node = (name: string, root: Blob | undefined): DirectoryNode => ({
    name,
    digest: root === undefined ? undefined : toBlobDigest(root),
  });
  const directories = [...ready].map(([name, [root]]) => node(name, root));
  for (const [name, inside] of below) {
    const tree = inputTree(inside);
    folders.push(...tree);
    directories.push(node(name, tree[0]));
  }
  const own = documentBlob(
    Directory.encode({ files: nodes.toSorted(byName), directories: directories.toSorted(byName) }),
  );
  return [own, ...folders];
}

function byName(a: { readonly name: string }, b: { readonly name: string }): number {
  return a.name < b.name ? -1 : Number(a.name > b.name);
}
