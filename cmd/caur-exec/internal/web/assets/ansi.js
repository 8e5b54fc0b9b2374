// Escape sequences of terminals, as far as logs use them: colours are shown, everything else is left out. What comes out is
// text and numbers or class names of ours: nothing in a log can be markup, style or script.
'use strict';

const plainStyle = Object.freeze({ fg: '', bg: '', flags: '' });

const ansi = {
  // sequenceEnd gives the index after the escape sequence at i (ECMA-48 section 5.4); one that is not complete ends the text.
  sequenceEnd(text, i) {
    const kind = text[i + 1];
    if (kind === undefined) return text.length;
    if (kind === '[') {
      for (let j = i + 2; j < text.length; j++) {
        const c = text.charCodeAt(j);
        if (c >= 0x40 && c <= 0x7e) return j + 1;
        if (c < 0x20 || c > 0x7e) return j; // broken: what follows is text again
      }
      return text.length;
    }
    if (']P_^X'.includes(kind)) {
      for (let j = i + 2; j < text.length; j++) {
        if (text[j] === '\x07') return j + 1;
        if (text[j] === '\x1b') return Math.min(text.length, j + (text[j + 1] === '\\' ? 2 : 0));
      }
      return text.length;
    }
    return Math.min(text.length, i + ('()#%'.includes(kind) ? 3 : 2));
  },

  // runs turns one line into runs of {text, style}; the style at its end is that of the next line's beginning. A carriage
  // return begins the line anew, as progress bars want it.
  runs(line, style) {
    let runs = [];
    line = line.replace(/\r+$/, '');
    for (let at = 0; at < line.length;) {
      const esc = line.indexOf('\x1b', at);
      const text = line.slice(at, esc < 0 ? undefined : esc);
      const back = text.lastIndexOf('\r');
      if (back >= 0) runs = [];
      if (text) runs.push({ text: ansi.clean(text.slice(back + 1)), style });
      if (esc < 0) break;
      at = ansi.sequenceEnd(line, esc);
      if (line[esc + 1] === '[' && line[at - 1] === 'm') style = ansi.sgr(line.slice(esc + 2, at - 1), style);
    }
    return runs;
  },

  // strip gives a line as it is read.
  strip(line) { return line.includes('\x1b') || line.includes('\r') ? ansi.runs(line, plainStyle).map((r) => r.text).join('') : ansi.clean(line); },

  // clean takes out control characters, and those that make text read differently from what it is.
  clean(text) { return text.replace(/[\x00-\x08\x0a-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2066-\u2069\ufeff]/g, ''); },

  // sgr takes "select graphic rendition" (ECMA-48 section 8.3.117, with the colours of xterm).
  sgr(parameters, style) {
    const n = parameters.split(/[;:]/).slice(0, 64).map((p) => (p === '' ? 0 : Number.parseInt(p, 10)));
    const s = { ...style };
    const on = (flag) => { if (!s.flags.includes(flag)) s.flags += flag; };
    const off = (...flags) => { for (const f of flags) s.flags = s.flags.replace(f, ''); };
    const ons = { 1: 'b', 2: 'd', 3: 'i', 4: 'u', 9: 's' };
    const offs = { 22: 'bd', 23: 'i', 24: 'u', 29: 's' };
    for (let i = 0; i < n.length; i++) {
      const p = n[i];
      if (p === 0) { s.fg = ''; s.bg = ''; s.flags = ''; }
      else if (ons[p]) on(ons[p]);
      else if (offs[p]) off(...offs[p]);
      else if (p >= 30 && p <= 37) s.fg = p - 30;
      else if (p >= 90 && p <= 97) s.fg = p - 90 + 8;
      else if (p === 39) s.fg = '';
      else if (p >= 40 && p <= 47) s.bg = p - 40;
      else if (p >= 100 && p <= 107) s.bg = p - 100 + 8;
      else if (p === 49) s.bg = '';
      else if (p === 38 || p === 48) {
        let color = '';
        if (n[i + 1] === 5) { color = ansi.palette(n[i + 2]); i += 2; }
        else if (n[i + 1] === 2) { color = ansi.rgb(n[i + 2], n[i + 3], n[i + 4]); i += 4; }
        if (p === 38) s.fg = color; else s.bg = color;
      }
    }
    return s;
  },

  palette(n) {
    if (!(n >= 0 && n <= 255)) return '';
    if (n < 16) return n;
    if (n >= 232) return ansi.rgb(8 + (n - 232) * 10, 8 + (n - 232) * 10, 8 + (n - 232) * 10);
    const step = (v) => (v === 0 ? 0 : 55 + v * 40);
    n -= 16;
    return ansi.rgb(step(Math.floor(n / 36)), step(Math.floor(n / 6) % 6), step(n % 6));
  },

  rgb(...parts) { return parts.every((v) => v >= 0 && v <= 255) ? `rgb(${parts.join(',')})` : ''; },

  // span makes a node of a run.
  span({ text, style }) {
    if (style.fg === '' && style.bg === '' && style.flags === '') return document.createTextNode(text);
    const span = document.createElement('span');
    span.textContent = text;
    for (const flag of style.flags) span.classList.add(flag);
    if (typeof style.fg === 'number') span.classList.add(`f${style.fg}`); else if (style.fg) span.style.color = style.fg;
    if (typeof style.bg === 'number') span.classList.add(`g${style.bg}`); else if (style.bg) span.style.backgroundColor = style.bg;
    return span;
  },
};
