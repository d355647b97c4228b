// DisposableStack and AsyncDisposableStack for the library on Node 22, which does not have them. They are put in place of the
// globals' names while the library is bundled, so that importing kiln changes no global. They do what kiln uses of the proposal.
class Undo {
  #steps = [];
  disposed = false;

  adopt(value, undo) {
    this.add(() => undo(value));
    return value;
  }

  defer(undo) {
    this.add(undo);
  }

  add(undo) {
    if (this.disposed) throw new ReferenceError("The stack is disposed");
    this.#steps.push(undo);
  }

  move() {
    const moved = new this.constructor();
    for (const undo of this.take()) moved.defer(undo);
    return moved;
  }

  /** Returns what is to be undone, first made first. The stack is empty and closed afterwards. */
  take() {
    if (this.disposed) throw new ReferenceError("The stack is disposed");
    this.disposed = true;
    return this.#steps;
  }
}

class LocalStack extends Undo {
  use(value) {
    if (value !== null && value !== undefined) this.add(disposer(value, value[Symbol.dispose]));
    return value;
  }

  dispose() {
    if (this.disposed) return;
    const failures = [];
    for (const undo of this.take().toReversed()) {
      try {
        undo();
      } catch (error) {
        failures.push(error);
      }
    }
    rethrow(failures);
  }

  [Symbol.dispose]() {
    this.dispose();
  }
}

class LocalAsyncStack extends Undo {
  use(value) {
    if (value !== null && value !== undefined)
      this.add(disposer(value, value[Symbol.asyncDispose] ?? value[Symbol.dispose]));
    return value;
  }

  async disposeAsync() {
    if (this.disposed) return;
    const failures = [];
    for (const undo of this.take().toReversed()) {
      try {
        await undo();
      } catch (error) {
        failures.push(error);
      }
    }
    rethrow(failures);
  }

  [Symbol.asyncDispose]() {
    return this.disposeAsync();
  }
}

function disposer(value, dispose) {
  if (typeof dispose !== "function") throw new TypeError("The value cannot be disposed");
  return () => dispose.call(value);
}

function rethrow(failures) {
  if (failures.length === 1) throw failures[0];
  if (failures.length > 1) throw new AggregateError(failures, "Several resources could not be closed");
}

export const DisposableStack = globalThis.DisposableStack ?? LocalStack;
export const AsyncDisposableStack = globalThis.AsyncDisposableStack ?? LocalAsyncStack;
