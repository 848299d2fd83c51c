/** `Event` and `CustomEvent` of the DOM standard. */
import { sinceOrigin } from "./library/performance.js";
import { asInterface, defineConstants, requireArguments, toDictionary } from "./webidl.js";

/** What an event is doing. Only EventTarget changes it. */
export interface Dispatch {
  target: object | null;
  currentTarget: object | null;
  phase: number;
  isDispatched: boolean;
  isStopped: boolean;
  isStoppedAtOnce: boolean;
  isCanceled: boolean;
  isPassive: boolean;
  isTrusted: boolean;
}

export const AT_TARGET = 2;

/** Throws a TypeError for what is no event. */
let dispatchOf: (event: Event) => Dispatch;

// The standard makes it a property of each event, of which every one has the same getter.
const { isTrusted } = {
  isTrusted(this: Event): boolean {
    return dispatchOf(this).isTrusted;
  },
};

class Event {
  #type: string;
  #bubbles: boolean;
  #cancelable: boolean;
  readonly #composed: boolean;
  readonly #timeStamp = sinceOrigin();
  readonly #dispatch: Dispatch = {
    target: null,
    currentTarget: null,
    phase: 0,
    isDispatched: false,
    isStopped: false,
    isStoppedAtOnce: false,
    isCanceled: false,
    isPassive: false,
    isTrusted: false,
  };

  static {
    dispatchOf = (event) => event.#dispatch;
  }

  constructor(type: string, init: unknown = undefined) {
    requireArguments(arguments.length, 1, "Event");
    const { bubbles, cancelable, composed } = toDictionary(init, "The options of an Event");
    this.#type = `${type}`;
    this.#bubbles = !!bubbles;
    this.#cancelable = !!cancelable;
    this.#composed = !!composed;
    Object.defineProperty(this, "isTrusted", { get: isTrusted, enumerable: true, configurable: false });
  }

  get type(): string {
    return this.#type;
  }

  get target(): object | null {
    return this.#dispatch.target;
  }

  get srcElement(): object | null {
    return this.#dispatch.target;
  }

  get currentTarget(): object | null {
    return this.#dispatch.currentTarget;
  }

  composedPath(): object[] {
    const { currentTarget } = this.#dispatch;
    return currentTarget === null ? [] : [currentTarget];
  }

  get eventPhase(): number {
    return this.#dispatch.phase;
  }

  stopPropagation(): void {
    this.#dispatch.isStopped = true;
  }

  get cancelBubble(): boolean {
    return this.#dispatch.isStopped;
  }

  set cancelBubble(value: unknown) {
    if (value) this.#dispatch.isStopped = true;
  }

  stopImmediatePropagation(): void {
    this.#dispatch.isStopped = true;
    this.#dispatch.isStoppedAtOnce = true;
  }

  get bubbles(): boolean {
    return this.#bubbles;
  }

  get cancelable(): boolean {
    return this.#cancelable;
  }

  get returnValue(): boolean {
    return !this.#dispatch.isCanceled;
  }

  set returnValue(value: unknown) {
    if (!value) this.preventDefault();
  }

  preventDefault(): void {
    if (this.#cancelable && !this.#dispatch.isPassive) this.#dispatch.isCanceled = true;
  }

  get defaultPrevented(): boolean {
    return this.#dispatch.isCanceled;
  }

  get composed(): boolean {
    return this.#composed;
  }

  get timeStamp(): number {
    return this.#timeStamp;
  }

  initEvent(type: string, bubbles: unknown = false, cancelable: unknown = false): void {
    requireArguments(arguments.length, 1, "initEvent");
    const dispatch = this.#dispatch;
    if (dispatch.isDispatched) return;
    dispatch.isStopped = dispatch.isStoppedAtOnce = dispatch.isCanceled = dispatch.isTrusted = false;
    dispatch.target = null;
    this.#type = `${type}`;
    this.#bubbles = !!bubbles;
    this.#cancelable = !!cancelable;
  }
}

asInterface(Event, "Event");
defineConstants(Event, [
  ["NONE", 0],
  ["CAPTURING_PHASE", 1],
  ["AT_TARGET", AT_TARGET],
  ["BUBBLING_PHASE", 3],
]);

class CustomEvent extends Event {
  readonly #detail: unknown;

  constructor(type: string, init: unknown = undefined) {
    requireArguments(arguments.length, 1, "CustomEvent");
    super(type, init);
    this.#detail = toDictionary(init, "The options of a CustomEvent").detail ?? null;
  }

  get detail(): unknown {
    return this.#detail;
  }
}

asInterface(CustomEvent, "CustomEvent");

export { CustomEvent, dispatchOf, Event };
