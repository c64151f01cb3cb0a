// What a line of a log looks like: its text in pieces of one style each. A line is what a terminal would leave of it at
// its end: of a progress bar the last state. Escape sequences (ECMA-48) are read for colours and styles (SGR), the
// others are left out; nothing of a log ever becomes HTML.

// CSI with its parameters and last byte; OSC and other strings up to their end; two-character sequences; lone C1.
const SEQUENCE = /(?:\x1b\[|\x9b)([0-?]*)[ -/]*([@-~])|\x1b[\]PX^_][^\x07\x1b\x9c]*(?:\x07|\x1b\\|\x9c)?|\x1b[ -/]*[0-~]|[\x80-\x9f]/g;
const CONTROL = /[\x00-\x08\x0b-\x1f\x7f]/g;
const STYLES = { 1: "bold", 2: "faded", 3: "italic", 4: "under", 7: "inverse", 9: "struck" };
const OFF = { 22: ["bold", "faded"], 23: ["italic"], 24: ["under"], 27: ["inverse"], 29: ["struck"] };

export const PLAIN = Object.freeze({ fore: "", back: "", styles: Object.freeze([]) });

// The pieces `[text, style]` of a line that begins in `style`, and the style after it.
export function pieces(line, style) {
  const shown = line.slice(line.replace(/\r+$/, "").lastIndexOf("\r") + 1);
  const found = [];
  let at = 0;
  // What is overwritten may still have set colours.
  for (const match of line.slice(0, line.length - shown.length).matchAll(SEQUENCE)) style = after(match, style);
  for (const match of shown.matchAll(SEQUENCE)) {
    add(found, shown.slice(at, match.index), style);
    style = after(match, style);
    at = match.index + match[0].length;
  }
  add(found, shown.slice(at), style);
  return [found, style];
}

function add(found, text, style) {
  const visible = text.replace(/\r/g, "").replace(CONTROL, (one) => String.fromCharCode(one === "\x7f" ? 0x2421 : 0x2400 + one.charCodeAt(0)));
  if (visible) found.push([visible, style]);
}

function after(match, style) {
  if (match[2] !== "m" || /[<-?]/.test(match[1])) return style;
  const numbers = match[1].split(/[;:]/).map((one) => Number(one) || 0);
  let { fore, back, styles } = style;
  for (let i = 0; i < numbers.length; i++) {
    const n = numbers[i];
    if (n === 0) [fore, back, styles] = ["", "", []];
    else if (STYLES[n]) styles = [...styles.filter((one) => one !== STYLES[n]), STYLES[n]];
    else if (OFF[n]) styles = styles.filter((one) => !OFF[n].includes(one));
    else if (n >= 30 && n <= 37) fore = String(n - 30);
    else if (n >= 90 && n <= 97) fore = String(n - 82);
    else if (n >= 40 && n <= 47) back = String(n - 40);
    else if (n >= 100 && n <= 107) back = String(n - 92);
    else if (n === 39) fore = "";
    else if (n === 49) back = "";
    else if (n === 38 || n === 48) {
      const colour = numbers[i + 1] === 5 ? indexed(numbers[i + 2] ?? 0) : numbers[i + 1] === 2 ? rgb(numbers.slice(i + 2, i + 5)) : "";
      i += numbers[i + 1] === 5 ? 2 : numbers[i + 1] === 2 ? 4 : 0;
      if (n === 38) fore = colour;
      else back = colour;
    }
  }
  return { fore, back, styles };
}

// A number of the sixteen that the theme has, or rgb(…): the cube of 6×6×6 and the greys of xterm's 256.
function indexed(n) {
  if (n < 16) return String(n);
  if (n >= 232) return rgb([8 + 10 * (n - 232), 8 + 10 * (n - 232), 8 + 10 * (n - 232)]);
  const step = (one) => (one ? 55 + 40 * one : 0);
  return rgb([step(Math.floor((n - 16) / 36)), step(Math.floor((n - 16) / 6) % 6), step((n - 16) % 6)]);
}

function rgb(parts) {
  return `rgb(${[0, 1, 2].map((i) => Math.min(255, parts[i] ?? 0)).join(", ")})`;
}

// An element with the text in this style.
export function element(text, style) {
  const span = document.createElement("span");
  span.textContent = text;
  span.className = style.styles.join(" ");
  dress(span, "f", "color", style.fore);
  dress(span, "b", "backgroundColor", style.back);
  return span;
}

function dress(span, letter, property, colour) {
  if (colour.startsWith("rgb")) span.style[property] = colour;
  else if (colour) span.classList.add(letter + colour);
}
