// Shows a log while it grows, with the colours of a terminal. What the log says becomes text nodes only, and colours
// become class names of ours or numbers: nothing in a log can be markup, style or script.
'use strict';

const maxLines = 20000; // in the document; older ones leave it, the plain text has all
const maxLine = 20000; // characters shown of one line

// Terminal turns text with escape sequences into runs of {text, style}.
class Terminal {
  constructor() {
    this.reset();
    this.rest = ''; // an escape sequence whose end has not come yet
  }

  reset() {
    this.style = { fg: '', bg: '', flags: '' };
  }

  // feed gives the runs of one piece of a line or of several.
  feed(text) {
    text = this.rest + text;
    this.rest = '';
    const runs = [];
    let at = 0;
    while (at < text.length) {
      const esc = text.indexOf('\x1b', at);
      if (esc !== at) runs.push({ text: text.slice(at, esc < 0 ? undefined : esc), style: this.style });
      if (esc < 0) break;
      const end = Terminal.sequenceEnd(text, esc);
      if (end < 0) {
        if (text.length - esc < 4096) this.rest = text.slice(esc);
        break;
      }
      if (text[esc + 1] === '[' && text[end - 1] === 'm') this.sgr(text.slice(esc + 2, end - 1));
      at = end;
    }
    return runs;
  }

  // sequenceEnd gives the index after the escape sequence at i, -1 when it is not complete (ECMA-48 section 5.4).
  static sequenceEnd(text, i) {
    const kind = text[i + 1];
    if (kind === undefined) return -1;
    if (kind === '[') {
      for (let j = i + 2; j < text.length; j++) {
        const c = text.charCodeAt(j);
        if (c >= 0x40 && c <= 0x7e) return j + 1;
        if (c < 0x20 || c > 0x7e) return j; // broken: what follows is text again
      }
      return -1;
    }
    if (kind === ']' || kind === 'P' || kind === '_' || kind === '^' || kind === 'X') {
      for (let j = i + 2; j < text.length; j++) {
        if (text[j] === '\x07' || text[j] === '\n') return j + (text[j] === '\n' ? 0 : 1);
        if (text[j] === '\x1b') return j + 1 < text.length ? j + (text[j + 1] === '\\' ? 2 : 0) : -1;
      }
      return -1;
    }
    if (kind === '(' || kind === ')' || kind === '#' || kind === '%') return i + 3 <= text.length ? i + 3 : -1;
    return i + 2;
  }

  // sgr takes "select graphic rendition" (ECMA-48 section 8.3.117, with the colours of xterm).
  sgr(parameters) {
    const n = parameters.split(/[;:]/).map((p) => (p === '' ? 0 : Number.parseInt(p, 10)));
    const s = { ...this.style };
    for (let i = 0; i < n.length; i++) {
      const p = n[i];
      const on = (flag) => { if (!s.flags.includes(flag)) s.flags += flag; };
      const off = (...flags) => { for (const f of flags) s.flags = s.flags.replace(f, ''); };
      if (p === 0) { s.fg = ''; s.bg = ''; s.flags = ''; }
      else if (p === 1) on('b');
      else if (p === 2) on('d');
      else if (p === 3) on('i');
      else if (p === 4) on('u');
      else if (p === 9) on('s');
      else if (p === 22) off('b', 'd');
      else if (p === 23) off('i');
      else if (p === 24) off('u');
      else if (p === 29) off('s');
      else if (p >= 30 && p <= 37) s.fg = p - 30;
      else if (p >= 90 && p <= 97) s.fg = p - 90 + 8;
      else if (p === 39) s.fg = '';
      else if (p >= 40 && p <= 47) s.bg = p - 40;
      else if (p >= 100 && p <= 107) s.bg = p - 100 + 8;
      else if (p === 49) s.bg = '';
      else if (p === 38 || p === 48) {
        let color = '';
        if (n[i + 1] === 5) { color = Terminal.palette(n[i + 2]); i += 2; }
        else if (n[i + 1] === 2) { color = Terminal.rgb(n[i + 2], n[i + 3], n[i + 4]); i += 4; }
        if (p === 38) s.fg = color; else s.bg = color;
      }
    }
    this.style = s;
  }

  static palette(n) {
    if (!(n >= 0 && n <= 255)) return '';
    if (n < 16) return n;
    if (n >= 232) return Terminal.rgb(8 + (n - 232) * 10, 8 + (n - 232) * 10, 8 + (n - 232) * 10);
    const step = (v) => (v === 0 ? 0 : 55 + v * 40);
    n -= 16;
    return Terminal.rgb(step(Math.floor(n / 36)), step(Math.floor(n / 6) % 6), step(n % 6));
  }

  static rgb(...parts) {
    return parts.every((v) => v >= 0 && v <= 255) ? `rgb(${parts.join(',')})` : '';
  }
}

// Screen puts lines into the document.
class Screen {
  constructor(pre) {
    this.pre = pre;
    this.terminal = new Terminal();
    this.line = null; // the line that is being written
    this.dropped = 0;
  }

  write(text) {
    const lines = text.split('\n');
    const batch = document.createDocumentFragment();
    lines.forEach((part, i) => {
      if (!this.line) {
        this.line = document.createElement('div');
        this.length = 0;
        batch.append(this.line);
      }
      this.append(part);
      if (i < lines.length - 1) {
        if (!this.line.hasChildNodes()) this.line.append('\n');
        this.line = null;
      }
    });
    this.pre.append(batch);
    this.trim();
  }

  append(part) {
    // A carriage return begins the line anew, as progress bars want it; one before the line's end does nothing.
    const pieces = part.replace(/\r+$/, '').split('\r');
    pieces.forEach((piece, i) => {
      const runs = this.terminal.feed(piece);
      if (i > 0) { this.line.replaceChildren(); this.length = 0; }
      for (const { text, style } of runs) {
        const room = maxLine - this.length;
        if (room <= 0) break;
        this.length += text.length;
        this.line.append(Screen.run(clean(text.slice(0, room)), style));
      }
    });
  }

  static run(text, style) {
    if (style.fg === '' && style.bg === '' && style.flags === '') return document.createTextNode(text);
    const span = document.createElement('span');
    span.textContent = text;
    for (const flag of style.flags) span.classList.add(flag);
    if (typeof style.fg === 'number') span.classList.add(`f${style.fg}`); else if (style.fg) span.style.color = style.fg;
    if (typeof style.bg === 'number') span.classList.add(`g${style.bg}`); else if (style.bg) span.style.backgroundColor = style.bg;
    return span;
  }

  note(text) {
    const line = document.createElement('div');
    line.className = 'note';
    line.textContent = text;
    this.pre.append(line);
    this.line = null;
  }

  trim() {
    let over = this.pre.childElementCount - maxLines;
    if (over < maxLines / 10) return; // seldom, and many at once
    this.dropped += over;
    while (over-- > 0) this.pre.firstElementChild.remove();
    const line = document.createElement('div');
    line.className = 'note';
    line.textContent = `[${this.dropped} lines before this one are only in the plain text]`;
    this.pre.prepend(line);
  }
}

// clean takes out what would make text read differently from what it is, and control characters.
function clean(text) {
  return text.replace(/[\x00-\x08\x0b-\x1f\x7f\u200e\u200f\u202a-\u202e\u2066-\u2069]/g, '');
}

const pause = (ms) => new Promise((done) => { setTimeout(done, ms); });

async function show() {
  const pre = document.getElementById('log');
  const state = document.getElementById('state');
  const follow = document.getElementById('follow');
  const screen = new Screen(pre);
  const decoder = new TextDecoder(); // keeps a character that two pieces share
  const say = (text) => { if (state.textContent !== text) state.textContent = text; };

  window.addEventListener('wheel', (e) => { if (e.deltaY < 0) follow.checked = false; }, { passive: true });
  window.addEventListener('keydown', (e) => { if (['PageUp', 'Home', 'ArrowUp'].includes(e.key)) follow.checked = false; });

  let offset = 0; // bytes shown
  for (let wait = 1000; ; wait = Math.min(wait * 2, 15000)) {
    try {
      const answer = await fetch(`${pre.dataset.source}?offset=${offset}`, { cache: 'no-store' });
      if (answer.status === 404 && offset === 0) {
        say('no log yet: it appears when the build begins');
      } else if (answer.status === 404 || answer.status === 416) {
        screen.note('[the log is not there any more]');
        say('gone');
        return;
      } else if (answer.ok) {
        say('live');
        for (const reader = answer.body.getReader(); ;) {
          const { done, value } = await reader.read();
          if (done) {
            screen.write(decoder.decode());
            say('finished');
            return;
          }
          wait = 1000;
          offset += value.length;
          screen.write(decoder.decode(value, { stream: true }));
          if (follow.checked) window.scrollTo(0, document.documentElement.scrollHeight);
        }
      } else {
        say(`the server answers ${answer.status}, trying again`);
      }
    } catch {
      say('connection lost, trying again');
    }
    await pause(wait);
  }
}

if (typeof document !== 'undefined') show();
