/** What is known while one value is rendered. */
import { list, SafeMap } from "./captured.js";

const MAXIMUM_ITEMS = 100;

export class Context {
  /** Columns of a line. */
  readonly width = 80;
  /** Columns by which the next line would be indented. */
  indentation = 0;
  /** Level of the object that was rendered last. */
  lastLevel = 0;
  /** About how many UTF-16 units are rendered so far. */
  spent = 0;
  /** Objects that are being rendered, outermost first. */
  readonly open = list<object>();
  /** Objects that contain themselves, by their number. */
  readonly circular = new SafeMap<object, number>();

  /**
   * @param depth levels of nesting that are shown
   * @param limit UTF-16 units after which no more is rendered
   * @param showHidden whether properties that are not enumerable are shown
   * @param singleLine whether everything goes on one line, however long it gets
   * @param maximumItems of a list that are shown, and bytes of a buffer
   */
  constructor(
    readonly depth: number,
    readonly limit: number,
    readonly showHidden: boolean,
    readonly singleLine: boolean,
    readonly maximumItems = MAXIMUM_ITEMS,
  ) {}

  get isFull(): boolean {
    return this.spent > this.limit;
  }
}
