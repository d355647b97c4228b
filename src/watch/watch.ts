import { readFileSync } from "node:fs";
import { setTimeout as wait } from "node:timers/promises";
import { BuildError } from "../../lib/core/errors.ts";
import type { ProgressSink } from "../../lib/core/progress.ts";
import { checkAfterRestart } from "../engine/after-restart.ts";
import { type BuildEngine, buildWith, openBuildEngine } from "../engine/build.ts";
import type { BuildResult } from "../engine/build-result.ts";
import { collectAfterBuild } from "../engine/collect.ts";
import type { Engine } from "../engine/engine.ts";
import type { BuildEnvironment } from "../engine/environment.ts";
import type { BuildOptions } from "../engine/options.ts";
import type { BuildReport } from "../engine/report.ts";
import { ChangeFeed, type Changes } from "./change-feed.ts";
import { TreeWatcher } from "./tree-watcher.ts";
import { type OwnFiles, type WatchedPlaces, watchedPlaces } from "./watched-places.ts";

/** One finished build of a watch. */
export type BuildNews = {
  /** The changes that began it; `undefined` for the first build. */
  readonly changes: Changes | undefined;
  /** Time from the first look at the changes to the end, with everything written, in milliseconds. */
  readonly wallMs: number;
  readonly report: BuildReport | undefined;
} & (
  | {
      readonly kind: "built";
      readonly result: BuildResult;
      /** The open engine, for running the image. It stays open at least until the next news. */
      readonly engine: Engine;
      /** True when a step ran or the image is another one than before. */
      readonly isNew: boolean;
    }
  | { readonly kind: "failed"; readonly error: BuildError }
);

export interface WatchRequest {
  readonly options: BuildOptions;
  readonly environment: BuildEnvironment;
  /** Files that the caller writes after a build. */
  readonly own: OwnFiles;
  /** Told before each build, for a display of its own. */
  readonly onBuild?: (changes: Changes | undefined) => ProgressSink;
  readonly onNews: (news: BuildNews) => Promise<void>;
  /** Told when all is watched, with the number of directories. */
  readonly onWatching?: (directories: number) => void;
  readonly onNotice: (message: string, hint: string | undefined) => void;
}

/** An engine holds everything it used against garbage collection, so it is opened anew now and then. */
const BUILDS_PER_ENGINE = 200;
/** A quiet tree is looked at again after a burst: an event may have been lost in it. */
const LOOK_AGAIN_MS = [400, 2000];
const BURST = 100;
const ROOT_CHECK_MS = 500;
/** The kernel's own setting. */
const QUEUE_LENGTH = 16_384;

/**
 * Builds, and builds again after each change, until the signal is aborted. A failing build is news like others.
 * @throws {BuildError} for what makes watching impossible, and the signal's reason
 */
export async function watchBuild(request: WatchRequest, signal: AbortSignal): Promise<never> {
  await using session = new Session(request);
  let changes: Changes | undefined;
  await session.watch(signal);
  request.onWatching?.(session.directories);
  for (let builds = 0; ; builds += 1) {
    if (builds % BUILDS_PER_ENGINE === BUILDS_PER_ENGINE - 1) await session.reopen();
    const news = await session.build(changes, signal);
    // A build that is looked at again, and finds nothing, is no news.
    if (changes?.count !== 0 || news.kind === "failed" || news.isNew) await request.onNews(news);
    await session.rest(news, signal);
    changes = await session.next(signal);
  }
}

/** The open parts of a watch. */
class Session implements AsyncDisposable {
  readonly #request: WatchRequest;
  readonly #feed = new ChangeFeed();
  readonly #timer: NodeJS.Timeout;
  #progress: ProgressSink = () => undefined;
  #engine: BuildEngine | undefined;
  #trees: readonly TreeWatcher[] = [];
  #places: WatchedPlaces | undefined;
  #lastId: string | undefined;
  /** Waits before the next looks without a change, in order. */
  #looks: number[] = [];

  constructor(request: WatchRequest) {
    this.#request = request;
    this.#timer = setInterval(() => {
      try {
        for (const tree of this.#trees) tree.checkRoot();
      } catch (error) {
        this.#feed.fail(error);
      }
    }, ROOT_CHECK_MS);
  }

  get directories(): number {
    return this.#trees.reduce((sum, tree) => sum + tree.directories, 0);
  }

  /** Watches what the options and the ignore files of now make worth it. */
  async watch(signal: AbortSignal): Promise<void> {
    const { options, environment, own } = this.#request;
    const { workingDirectory } = environment;
    const paths = [...own.paths, environment.root];
    this.#places = await watchedPlaces(options, { workingDirectory, own: { paths } }, signal);
    const before = this.#trees;
    const trees: TreeWatcher[] = [];
    try {
      for (const { root, filter } of this.#places.trees) trees.push(new TreeWatcher(root, filter, this.#feed));
    } catch (error) {
      for (const tree of trees) tree[Symbol.dispose]();
      throw error;
    }
    this.#trees = trees;
    for (const tree of before) tree[Symbol.dispose]();
  }

  async build(changes: Changes | undefined, signal: AbortSignal): Promise<BuildNews> {
    const { options, environment, onBuild } = this.#request;
    const startedAtMs = environment.nowMs();
    this.#progress = onBuild?.(changes) ?? (() => undefined);
    let report: BuildReport | undefined;
    const about = (): Pick<BuildNews, "changes" | "wallMs" | "report"> => ({
      changes,
      wallMs: environment.nowMs() - startedAtMs,
      report,
    });
    try {
      const warm = await this.#open(signal);
      const { engine } = warm;
      const onReport = (made: BuildReport): void => void (report = made);
      const result = await buildWith(warm, { ...options, progress: this.#tell, onReport }, signal);
      const id = result.imageId ?? result.manifest?.digest;
      const isNew = result.steps.cached < result.steps.total || id !== this.#lastId;
      this.#lastId = id;
      return { kind: "built", result, engine, isNew, ...about() };
    } catch (error) {
      signal.throwIfAborted();
      if (!(error instanceof BuildError)) throw error;
      this.#lastId = undefined;
      return { kind: "failed", error, ...about() };
    }
  }

  /** Does what can wait, while nothing has changed. */
  async rest(news: BuildNews, signal: AbortSignal): Promise<void> {
    if (news.kind !== "built" || !news.isNew || !this.#feed.isEmpty) return;
    await collectAfterBuild(news.engine, this.#tell, signal);
  }

  /** Waits for a change, or for the time to look again after a burst; then there are no changes. */
  async next(signal: AbortSignal): Promise<Changes> {
    const [pauseMs] = this.#looks;
    const changes = pauseMs === undefined ? await this.#feed.next(signal) : await this.#look(pauseMs, signal);
    const events = this.#trees.reduce((sum, tree) => sum + tree.takeEvents(), 0);
    if (changes.count > 0 && events > BURST) this.#looks = [...LOOK_AGAIN_MS];
    if (events > queueLength() / 2) this.#afterOverflow(events);
    if (changes.paths.some((path) => this.#places?.definitions.has(path) === true)) await this.#watchAgain(signal);
    return changes;
  }

  async reopen(): Promise<void> {
    const engine = this.#engine;
    this.#engine = undefined;
    await engine?.[Symbol.asyncDispose]();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    clearInterval(this.#timer);
    for (const tree of this.#trees) tree[Symbol.dispose]();
    await this.reopen();
  }

  readonly #tell: ProgressSink = (event) => this.#progress(event);

  async #look(pauseMs: number, signal: AbortSignal): Promise<Changes> {
    this.#looks.shift();
    const stop = new AbortController();
    const changed = this.#feed.next(AbortSignal.any([signal, stop.signal]));
    const rested = wait(pauseMs, undefined, { signal: stop.signal }).then(() => "rested" as const);
    rested.catch(() => undefined);
    changed.catch(() => undefined);
    try {
      const first = await Promise.race([changed, rested]);
      if (first !== "rested") return first;
      // A change that has just begun is taken with the next one.
      return { paths: [], count: 0 };
    } finally {
      stop.abort();
    }
  }

  /** The context may have gone for a moment, as in a checkout: then what was watched stays so. */
  async #watchAgain(signal: AbortSignal): Promise<void> {
    try {
      await this.watch(signal);
    } catch (error) {
      if (!(error instanceof BuildError) || !error.code.startsWith("context/")) throw error;
    }
  }

  #afterOverflow(events: number): void {
    for (const tree of this.#trees) tree.again();
    const hint = `sudo sysctl fs.inotify.max_queued_events=${queueLength() * 8} makes its queue longer`;
    this.#request.onNotice(
      `${events} changes came at once, and the system may have dropped some: everything is looked at again`,
      hint,
    );
  }

  async #open(signal: AbortSignal): Promise<BuildEngine> {
    if (this.#engine !== undefined) return this.#engine;
    const { options, environment } = this.#request;
    this.#engine = openBuildEngine(options, environment);
    await checkAfterRestart(this.#engine.engine, this.#tell, signal);
    return this.#engine;
  }
}

/** Returns the length of the kernel's queue of events, beyond which it drops them. */
function queueLength(): number {
  try {
    return Number(readFileSync("/proc/sys/fs/inotify/max_queued_events", "latin1")) || QUEUE_LENGTH;
  } catch {
    return QUEUE_LENGTH;
  }
}
