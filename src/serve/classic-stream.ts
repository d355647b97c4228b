import { isDigest } from "../../lib/core/digest.ts";
import type { ProgressEvent, ProgressSink } from "../../lib/core/progress.ts";
import type { MessageStream } from "./message-stream.ts";

/** The text of a step that waits for its turn. */
interface HeldStep {
  text: string;
  hasEnded: boolean;
}

/** Amount of waiting text that is shown although another step runs. */
const MAX_HELD = 1 << 20;

/**
 * Writes the events of a build as the classic builder's text: `Step 2/5 : RUN make`, then the command's output. Steps may
 * run side by side: one is shown while it runs, and the text of the others waits for its end.
 */
export class ClassicStream {
  readonly #messages: Pick<MessageStream, "send" | "sendPassing">;
  readonly #heads = new Map<string, string>();
  readonly #held = new Map<string, HeldStep>();
  #heldLength = 0;
  #current: string | undefined;

  constructor(messages: Pick<MessageStream, "send" | "sendPassing">) {
    this.#messages = messages;
  }

  readonly sink: ProgressSink = (event) => {
    switch (event.kind) {
      case "plan":
        this.#plan(event);
        return;
      case "step-started":
        this.#begin(event.id);
        return;
      case "step-cached":
        this.#begin(event.id);
        this.#write(event.id, " ---> Using cache\n");
        this.#finish(event.id);
        return;
      case "log":
        this.#begin(event.id);
        this.#write(event.id, event.data);
        return;
      case "step-done":
      case "step-failed":
      case "step-cancelled":
        this.#finish(event.id);
        return;
      case "status":
        // Layers of base images; other work with bytes is the store's own.
        if (event.unit === "bytes" && isDigest(event.item)) this.#messages.sendPassing(transferred(event));
        return;
      case "notice":
        if (event.level === "warning") this.say(` ---> [Warning] ${event.message}\n`);
        return;
      case "finding":
        this.say(` ---> [Warning] ${event.finding.rule}: ${event.finding.message}\n`);
        return;
      case "step-miss":
      case "output":
        return;
      default:
        event satisfies never;
    }
  };

  say(text: string): void {
    this.#messages.send({ stream: text });
  }

  /** Shows all that waits: the build has ended. */
  flush(): void {
    for (const { text } of this.#held.values()) if (text !== "") this.say(text);
    this.#held.clear();
    this.#heldLength = 0;
  }

  #plan({ steps }: ProgressEvent & { readonly kind: "plan" }): void {
    for (const [index, { id, name }] of steps.entries())
      this.#heads.set(id, `Step ${index + 1}/${steps.length} : ${name.replace(/^\[[^\]]*\] /, "")}\n`);
  }

  /** Shows a step's first line, now or in its turn. Internal work has none. */
  #begin(id: string): void {
    const head = this.#heads.get(id);
    if (head === undefined || this.#current === id || this.#held.has(id)) return;
    if (this.#current === undefined) {
      this.#current = id;
      this.say(head);
    } else {
      this.#held.set(id, { text: head, hasEnded: false });
    }
  }

  #write(id: string, text: string): void {
    const held = this.#held.get(id);
    if (held === undefined) {
      if (this.#current === id) this.say(text);
      return;
    }
    held.text += text;
    this.#heldLength += text.length;
    if (this.#heldLength < MAX_HELD) return;
    this.#heldLength = 0;
    for (const step of this.#held.values()) {
      if (step.text !== "") this.say(step.text);
      step.text = "";
    }
  }

  #finish(id: string): void {
    const held = this.#held.get(id);
    if (held !== undefined) held.hasEnded = true;
    if (this.#current !== id) return;
    this.#current = undefined;
    for (const [next, { text, hasEnded }] of this.#held) {
      this.#held.delete(next);
      this.#heldLength -= Math.min(text.length, this.#heldLength);
      if (text !== "") this.say(text);
      if (hasEnded) continue;
      this.#current = next;
      return;
    }
  }
}

/** Makes docker's message about bytes on their way. */
export function transferred(
  event: ProgressEvent & { readonly kind: "status" },
  words: { readonly going: string; readonly done: string } = { going: "Downloading", done: "Download complete" },
): Readonly<Record<string, unknown>> {
  const { item, current, total, done } = event;
  const id = /sha256:([0-9a-f]{12})/.exec(item)?.[1] ?? item;
  if (done) return { status: words.done, progressDetail: {}, id };
  return { status: words.going, progressDetail: { current, ...(total === undefined ? {} : { total }) }, id };
}
