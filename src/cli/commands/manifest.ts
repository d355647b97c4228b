import type { Command } from "commander";
import { BuildError } from "../../../lib/core/errors.ts";
import type { DescriptorPlatform } from "../../../lib/core/oci.ts";
import { printableDocument } from "../../../lib/core/printable.ts";
import { formatReference, parseReference } from "../../../lib/core/reference.ts";
import type { IndexMember } from "../../engine/remote/make-index.ts";
import { type Cli, command, examples } from "../command.ts";
import type { CommandContext } from "../context.ts";
import { accountOptions, givenAccounts } from "../flags/accounts.ts";
import { registryEngine } from "../registry-engine.ts";
import { shownDocument } from "./imagetools.ts";

type Options = Readonly<Record<string, unknown>>;

const PLAIN = { annotations: {}, memberAnnotations: {}, mediaTypes: "oci" } as const;

/** Declares docker's `manifest` commands: a list is built here step by step, and pushed when it is complete. */
export function manifestCommands(): Readonly<Record<string, (program: Command, cli: Cli) => void>> {
  return {
    "manifest-create": (program, cli) =>
      void accountOptions(command(program, cli, "manifest-create <list> <image...>", create))
        .description("begin a list of images in registries (manifest create)")
        .option("-a, --amend", "add to a list that there is already")
        .option("--insecure", "plain HTTP or an unverified certificate is fine")
        .addHelpText(
          "after",
          examples([
            [
              "kiln manifest create r.example/app:1 r.example/app:1-amd64 r.example/app:1-arm64",
              "then: kiln manifest push r.example/app:1",
            ],
          ]),
        ),
    "manifest-annotate": (program, cli) =>
      void command(program, cli, "manifest-annotate <list> <image>", annotate)
        .description("say for what an image of a list is made (manifest annotate)")
        .option("--arch <name>", "its architecture")
        .option("--os <name>", "its operating system")
        .option("--variant <name>", "its variant of the architecture")
        .option("--os-version <version>", "its version of the operating system")
        .addHelpText(
          "after",
          examples([["kiln manifest annotate --arch arm --variant v7 app:1 app:1-armv7", "before it is pushed"]]),
        ),
    "manifest-inspect": (program, cli) =>
      void accountOptions(command(program, cli, "manifest-inspect <list|image>", inspect))
        .description("show a list, or an image's manifest in its registry (manifest inspect)")
        .option("--insecure", "plain HTTP or an unverified certificate is fine")
        .addHelpText("after", examples([["kiln manifest inspect alpine", "as JSON"]])),
    "manifest-push": (program, cli) =>
      void accountOptions(command(program, cli, "manifest-push <list>", push))
        .description("send a list to its registry (manifest push)")
        .option("-p, --purge", "forget the list afterwards")
        .option("--insecure", "plain HTTP or an unverified certificate is fine")
        .addHelpText("after", examples([["kiln manifest push --purge app:1", "and forget the list here"]])),
    "manifest-rm": (program, cli) =>
      void command(program, cli, "manifest-rm <list...>", remove)
        .description("forget lists (manifest rm)")
        .addHelpText("after", examples([["kiln manifest rm app:1", "images in registries stay"]])),
  };
}

async function create(context: CommandContext, args: readonly string[], options: Options): Promise<void> {
  const [list = "", ...images] = args;
  const name = formatReference(parseReference(list));
  const sources = images.map((image) => parseReference(image));
  const { joinMembers, membersOf } = await import("../../engine/remote/make-index.ts");
  const { manifestLists } = await import("../../engine/remote/manifest-lists.ts");
  const accounts = await givenAccounts(context, options, sources[0]?.registry ?? "docker.io");
  await using engine = registryEngine(
    context,
    options,
    sources.map(({ registry }) => registry),
    accounts,
  );
  const lists = manifestLists(engine.store.facts);
  const before = lists.find(name);
  if (before !== undefined && options["amend"] !== true) {
    throw new BuildError("image/in-use", `Cannot create the list "${list}": there is one of this name`, {
      hint: `add to it with --amend, or remove it with kiln manifest rm ${list}`,
    });
  }
  const client = await engine.registry();
  const found = await Promise.all(sources.map((source) => membersOf(client, source, context.signal)));
  lists.keep(name, joinMembers([...(before ?? []), ...found.flat()]));
  context.print(`Created manifest list ${name}`);
}

async function annotate(context: CommandContext, args: readonly string[], options: Options): Promise<void> {
  const [list = "", image = ""] = args;
  const name = formatReference(parseReference(list));
  const wanted = parseReference(image);
  const { manifestLists } = await import("../../engine/remote/manifest-lists.ts");
  await using engine = context.openEngine();
  const lists = manifestLists(engine.store.facts);
  const members = known(lists.find(name), list);
  const isMeant = ({ source, descriptor }: IndexMember): boolean =>
    formatReference(source) === formatReference(wanted) || descriptor.digest === wanted.digest;
  if (!members.some(isMeant)) {
    throw new BuildError("image/not-found", `Cannot annotate "${image}": it is not in the list "${list}"`);
  }
  lists.keep(
    name,
    members.map((member) => (isMeant(member) ? annotated(member, options) : member)),
  );
}

function annotated(member: IndexMember, options: Options): IndexMember {
  const text = (option: string, before: string | undefined): string | undefined => {
    const value = options[option];
    return typeof value === "string" ? value : before;
  };
  const { platform } = member.descriptor;
  const variant = text("variant", platform?.variant);
  const version = text("osVersion", platform?.["os.version"]);
  const changed: DescriptorPlatform = {
    ...platform,
    architecture: text("arch", platform?.architecture) ?? "",
    os: text("os", platform?.os) ?? "",
    ...(variant === undefined ? {} : { variant }),
    ...(version === undefined ? {} : { "os.version": version }),
  };
  return { ...member, descriptor: { ...member.descriptor, platform: changed } };
}

async function inspect(context: CommandContext, args: readonly string[], options: Options): Promise<void> {
  const [text = ""] = args;
  const reference = parseReference(text);
  const { indexOf } = await import("../../engine/remote/make-index.ts");
  const { manifestLists } = await import("../../engine/remote/manifest-lists.ts");
  const accounts = await givenAccounts(context, options, reference.registry);
  await using engine = registryEngine(context, options, [reference.registry], accounts);
  const members = manifestLists(engine.store.facts).find(formatReference(reference));
  if (members !== undefined) {
    context.print(printableDocument(JSON.stringify(indexOf(members, PLAIN), undefined, 2)));
    return;
  }
  const { bytes } = await (await engine.registry()).resolve(reference, context.signal);
  context.print(shownDocument(bytes, text));
}

async function push(context: CommandContext, args: readonly string[], options: Options): Promise<void> {
  const [list = ""] = args;
  const to = parseReference(list);
  const name = formatReference(to);
  const { indexOf, pushIndex } = await import("../../engine/remote/make-index.ts");
  const { manifestLists } = await import("../../engine/remote/manifest-lists.ts");
  const accounts = await givenAccounts(context, options, to.registry);
  await using engine = registryEngine(context, options, [to.registry], accounts);
  const lists = manifestLists(engine.store.facts);
  const members = known(lists.find(name), list);
  const made = { members, index: indexOf(members, PLAIN) };
  const pushed = await pushIndex(await engine.registry(), to, made, () => undefined, context.signal);
  if (options["purge"] === true) lists.remove(name);
  context.print(pushed.digest);
}

async function remove(context: CommandContext, args: readonly string[]): Promise<void> {
  const { manifestLists } = await import("../../engine/remote/manifest-lists.ts");
  await using engine = context.openEngine();
  const lists = manifestLists(engine.store.facts);
  const names = args.map((list) => ({ list, name: formatReference(parseReference(list)) }));
  for (const { list, name } of names) known(lists.find(name), list);
  for (const { name } of names) lists.remove(name);
}

function known(members: readonly IndexMember[] | undefined, list: string): readonly IndexMember[] {
  if (members !== undefined) return members;
  throw new BuildError("image/not-found", `Cannot find the manifest list "${list}"`, {
    hint: "make it with kiln manifest create",
  });
}
