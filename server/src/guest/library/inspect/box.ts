/** The box that `console.table` draws. */
import { list } from "./captured.js";
import { columnsOf } from "./text.js";

export class Box {
  readonly #heads = list<string>();
  readonly #columns = list<string[]>();
  readonly #widths = list<number>();

  addColumn(head: string, cells: string[]): void {
    let width = columnsOf(head);
    for (let i = 0; i < cells.length; i++) {
      const columns = columnsOf(cells[i] as string);
      if (columns > width) width = columns;
    }
    const at = this.#heads.length;
    this.#heads[at] = head;
    this.#columns[at] = cells;
    this.#widths[at] = width + 2;
  }

  draw(rows: number): string {
    let text = `${this.#rule("┌", "┬", "┐")}\n${this.#row((column) => this.#heads[column] as string)}\n`;
    text += `${this.#rule("├", "┼", "┤")}\n`;
    for (let row = 0; row < rows; row++) {
      text += `${this.#row((column) => (this.#columns[column] as string[])[row] as string)}\n`;
    }
    return text + this.#rule("└", "┴", "┘");
  }

  #rule(left: string, middle: string, right: string): string {
    let text = left;
    for (let i = 0; i < this.#widths.length; i++) {
      if (i > 0) text += middle;
      for (let dash = 0; dash < (this.#widths[i] as number); dash++) text += "─";
    }
    return text + right;
  }

  #row(cellOf: (column: number) => string): string {
    let text = "│";
    for (let i = 0; i < this.#widths.length; i++) {
      if (i > 0) text += "│";
      const cell = cellOf(i);
      text += ` ${cell}`;
      for (let at = columnsOf(cell) + 1; at < (this.#widths[i] as number); at++) text += " ";
    }
    return `${text}│`;
  }
}
