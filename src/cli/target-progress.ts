import type { ProgressEvent, ProgressSink } from "../../lib/core/progress.ts";

/** Makes the sink of one of several builds on one display: its steps carry the target's name. */
export function sinkOf(sink: ProgressSink, target: string, total: number): ProgressSink {
  if (total === 1) return sink;
  return (event) => sink(named(event, target));
}

function named(event: ProgressEvent, target: string): ProgressEvent {
  if (event.kind === "notice") return { ...event, message: `${target}: ${event.message}` };
  const id = `${target}/${event.id}`;
  if (event.kind === "plan") {
    const steps = event.steps.map((step) => ({
      ...step,
      id: `${target}/${step.id}`,
      name: nameOf(target, step.name),
      inputs: step.inputs.map((input) => `${target}/${input}`),
    }));
    return { ...event, id, steps };
  }
  return "name" in event ? { ...event, id, name: nameOf(target, event.name) } : { ...event, id };
}

function nameOf(target: string, name: string): string {
  return name.startsWith("[") ? `[${target} ${name.slice(1)}` : `[${target}] ${name}`;
}
