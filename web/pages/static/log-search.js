// Searching the whole log: the server names the lines, the view goes from one to the next.

export class Search {
  // `lines` knows the addresses; `show(line)` goes to one, `told(text)` says how it stands.
  constructor(lines, view, show, told) {
    Object.assign(this, { lines, view, show, told, found: [], next: null, at: -1, text: "" });
  }

  // Look for a text; the first line from `from` on is gone to.
  async start(text, from) {
    this.text = text;
    Object.assign(this, { found: [], next: 0, at: -1 });
    this.view.needle = text.toLowerCase();
    this.view.hits = new Set();
    this.view.here = 0;
    this.view.draw();
    if (!text) return this.told("");
    this.told("…");
    if (!(await this.more(text))) return undefined;
    const index = this.found.findIndex((line) => line >= from);
    return this.go(index < 0 ? 0 : index);
  }

  // Get what the server finds next; false where another text is looked for meanwhile.
  async more(text) {
    let answer;
    try {
      answer = await fetch(this.lines.address("search", { q: text, fold: 1, begin: this.next }));
    } catch {
      answer = { ok: false };
    }
    if (this.text !== text) return false;
    if (!answer.ok) {
      this.told("no answer");
      return false;
    }
    const { lines, next } = await answer.json();
    if (this.text !== text) return false;
    this.found.push(...lines);
    this.next = next;
    for (const line of lines) this.view.hits.add(line);
    return true;
  }

  // To the next one, or with -1 the one before; around at the ends.
  async step(by) {
    if (!this.text) return;
    if (by > 0 && this.at === this.found.length - 1 && this.next !== null && !(await this.more(this.text))) return;
    if (this.found.length) this.go((this.at + by + this.found.length) % this.found.length);
  }

  go(index) {
    if (!this.found.length) return this.told("not found");
    this.at = index;
    this.view.here = this.found[index];
    this.told(`${(index + 1).toLocaleString("en")} of ${this.found.length.toLocaleString("en")}${this.next === null ? "" : "+"}`);
    return this.show(this.found[index]);
  }
}
