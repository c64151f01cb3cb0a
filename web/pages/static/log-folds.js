// Which lines belong to which command, which of these are folded, and so which line is in which row of the view.

export class Folds {
  constructor() {
    this.commands = []; // {line, time}, in order
    this.folded = new Set(); // first lines
    this.ranges = []; // [first, last] of hidden lines, in order
    this.count = 0;
  }

  // There are so many lines now, and these commands.
  update(count, commands) {
    this.count = count;
    this.commands = commands;
    this.ranges = commands.map((one, i) => [one.line, this.endOf(i)]).filter(([line, last]) => this.folded.has(line) && last > line).map(([line, last]) => [line + 1, last]);
    this.hidden = this.ranges.reduce((sum, [first, last]) => sum + last - first + 1, 0);
  }

  endOf(index) {
    return index + 1 < this.commands.length ? this.commands[index + 1].line - 1 : this.count;
  }

  get rows() {
    return this.count - (this.hidden ?? 0);
  }

  // The line (from 1) in a row (from 0).
  lineOf(row) {
    let line = row + 1;
    for (const [first, last] of this.ranges) {
      if (first > line) break;
      line += last - first + 1;
    }
    return line;
  }

  // The row of a line; of a hidden one that of its command.
  rowOf(line) {
    let row = line - 1;
    for (const [first, last] of this.ranges) {
      if (first > line) break;
      row -= Math.min(last, line) - first + 1;
    }
    return row;
  }

  // The command that begins in a line, by its index, or -1.
  beginning(line) {
    let [low, high] = [0, this.commands.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.commands[middle].line < line) low = middle + 1;
      else high = middle;
    }
    return low < this.commands.length && this.commands[low].line === line ? low : -1;
  }

  toggle(line) {
    if (!this.folded.delete(line)) this.folded.add(line);
    this.update(this.count, this.commands);
  }

  // All, or none where all are.
  toggleAll() {
    const all = this.commands.every((one) => this.folded.has(one.line));
    this.folded = new Set(all ? [] : this.commands.map((one) => one.line));
    this.update(this.count, this.commands);
  }

  // Make a line visible.
  open(line) {
    const index = this.commands.findLastIndex((one) => one.line <= line);
    if (index >= 0 && this.commands[index].line < line && this.folded.delete(this.commands[index].line)) this.update(this.count, this.commands);
  }
}
