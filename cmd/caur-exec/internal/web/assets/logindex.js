// Where the lines of a log are. It learns that while the bytes come by, and keeps only every 64th line's place, the headings
// of steps, and the blocks of bytes that were wanted last; others are fetched again when they are looked at.
'use strict';

const groupSize = 64; // lines
const longLine = 1 << 16; // bytes: a longer line goes on in the next row
const blockSize = 1 << 20;
const maxBlocks = 32;
const maxGroups = 64;
const maxSteps = 2000;

const stepNames = [
  [/^==> caur: /, 'caur'],
  [/^==> (?:Retrieving sources|Validating |Extracting sources)/, 'sources'],
  [/^==> Starting (prepare|pkgver|build|check|package(?:_[\w@.+-]+)?)\(\)/, ''],
  [/^==> (?:Checking (?:runtime|buildtime) dependencies|Installing missing dependencies)/, 'dependencies'],
  [/^==> Making package/, 'makepkg'],
  [/^==> (?:Tidying install|Creating package|Checking for packaging|Leaving fakeroot)/, 'archive'],
];

// stepOf names the step that a line begins, empty for other lines.
function stepOf(line) {
  for (const [pattern, name] of stepNames) {
    const found = pattern.exec(line);
    if (found) return name || found[1];
  }
  return '';
}

// lineEnd gives where the line at start ends and the next begins; null when its end has not come.
function lineEnd(bytes, start, end) {
  const at = bytes.indexOf(10, start);
  if (at >= 0 && at < end && at - start <= longLine) return { end: at, next: at + 1 };
  return end - start > longLine ? { end: start + longLine, next: start + longLine } : null;
}

class LogIndex {
  constructor() {
    this.starts = [0]; // of every 64th line
    this.styles = [plainStyle]; // there
    this.lines = 0; // that are complete
    this.size = 0; // bytes seen
    this.steps = []; // {line, name, offset}
    this.rest = new Uint8Array(0); // the line that is not complete
    this.style = plainStyle;
    this.decoder = new TextDecoder();
  }

  // count is how many rows there are: an incomplete line is one, too.
  get count() { return this.lines + (this.rest.length > 0 ? 1 : 0); }

  add(chunk) {
    let base = this.size; // of chunk[0]
    if (this.rest.length > 0) {
      base -= this.rest.length;
      const joined = new Uint8Array(this.rest.length + chunk.length);
      joined.set(this.rest);
      joined.set(chunk, this.rest.length);
      this.size += chunk.length;
      chunk = joined;
    } else this.size += chunk.length;
    let escape = chunk.indexOf(27);
    let start = 0;
    for (let line = lineEnd(chunk, 0, chunk.length); line; line = lineEnd(chunk, start, chunk.length)) {
      const first = chunk[start];
      if (first === 61 || first === 27) this.heading(chunk, start, line.end, base + start);
      while (escape >= 0 && escape < line.end) escape = this.escape(chunk, escape, line.end);
      start = line.next;
      this.lines++;
      if (this.lines % groupSize === 0) {
        this.starts.push(base + start);
        this.styles.push(this.style);
      }
    }
    this.rest = chunk.slice(start);
  }

  heading(chunk, start, end, offset) {
    const line = ansi.strip(this.decoder.decode(chunk.subarray(start, Math.min(end, start + 400))));
    const name = stepOf(line);
    const last = this.steps[this.steps.length - 1];
    if (name && !(last && last.name === name) && this.steps.length < maxSteps) this.steps.push({ line: this.lines, name, offset });
  }

  // escape takes a colour over for the lines that follow, and gives where the next sequence is.
  escape(chunk, at, end) {
    let to = at + 1;
    if (chunk[to] === 91) { // [
      for (to++; to < end && to - at < 64 && (chunk[to] < 0x40 || chunk[to] > 0x7e); to++);
      if (to < end && chunk[to] === 109) this.style = ansi.sgr(this.decoder.decode(chunk.subarray(at + 2, to)), this.style); // m
    }
    return chunk.indexOf(27, to);
  }
}

// LogBytes gives the bytes of a log: those that came by lately, others by range.
class LogBytes {
  constructor(source, arrived) {
    this.source = source;
    this.arrived = arrived; // called when bytes that were missing are there
    this.blocks = new Map(); // number → {data, length}; the one that was used last is last
    this.coming = new Set();
    this.size = 0;
  }

  add(chunk) {
    for (let at = 0; at < chunk.length;) {
      const number = Math.floor(this.size / blockSize);
      const inside = this.size % blockSize;
      const n = Math.min(chunk.length - at, blockSize - inside);
      let block = this.blocks.get(number);
      if (!block && inside === 0) {
        block = { data: new Uint8Array(blockSize), length: 0 };
        this.keep(number, block);
      }
      if (block && block.length === inside) {
        block.data.set(chunk.subarray(at, at + n), inside);
        block.length += n;
      }
      at += n;
      this.size += n;
    }
  }

  keep(number, block) {
    this.blocks.delete(number);
    this.blocks.set(number, block);
    while (this.blocks.size > maxBlocks) this.blocks.delete(this.blocks.keys().next().value);
  }

  // read gives bytes, or null when some are yet to be fetched.
  read(from, to) {
    const out = new Uint8Array(to - from);
    let missing = false;
    for (let at = from; at < to;) {
      const number = Math.floor(at / blockSize);
      const end = Math.min(to, (number + 1) * blockSize);
      const block = this.blocks.get(number);
      if (block && block.length >= end - number * blockSize) {
        out.set(block.data.subarray(at - number * blockSize, end - number * blockSize), at - from);
        if (this.size < number * blockSize || this.size >= (number + 1) * blockSize) this.keep(number, block);
      } else {
        missing = true;
        this.fetch(number);
      }
      at = end;
    }
    return missing ? null : out;
  }

  async wait(from, to) {
    for (let tries = 0; tries < 5; tries++) {
      const bytes = this.read(from, to);
      if (bytes) return bytes;
      await Promise.all([...this.coming].map((c) => c.done));
    }
    return null;
  }

  fetch(number) {
    if ([...this.coming].some((c) => c.number === number)) return;
    const one = { number };
    one.done = this.load(number).catch(() => {}).finally(() => { this.coming.delete(one); this.arrived(); });
    this.coming.add(one);
  }

  async load(number) {
    const from = number * blockSize;
    const to = Math.min(this.size, from + blockSize);
    const answer = await fetch(this.source, { headers: { Range: `bytes=${from}-${to - 1}` }, cache: 'no-store' });
    if (answer.status !== 206) throw new Error('no range');
    const data = new Uint8Array(blockSize);
    const got = new Uint8Array(await answer.arrayBuffer());
    data.set(got.subarray(0, blockSize));
    const old = this.blocks.get(number);
    if (!old || old.length < got.length) this.keep(number, { data, length: got.length });
  }
}

// LogLines gives lines as text and style.
class LogLines {
  constructor(index, bytes) {
    this.index = index;
    this.bytes = bytes;
    this.groups = new Map();
    this.decoder = new TextDecoder();
  }

  // get gives {text, runs()} of a line, or null when it is yet to be fetched.
  get(number) {
    const group = this.group(Math.floor(number / groupSize));
    return group && (group[number % groupSize] ?? { text: '', style: plainStyle });
  }

  group(g) {
    const whole = g + 1 < this.index.starts.length;
    const from = this.index.starts[g];
    const to = whole ? this.index.starts[g + 1] : this.index.size;
    const known = this.groups.get(g);
    if (known && known.to === to) return known.lines;
    const bytes = this.bytes.read(from, to);
    if (!bytes) return null;
    const lines = this.split(bytes, this.index.styles[g]);
    this.groups.delete(g);
    this.groups.set(g, { to, lines });
    if (this.groups.size > maxGroups) this.groups.delete(this.groups.keys().next().value);
    return lines;
  }

  split(bytes, style) {
    const lines = [];
    let start = 0;
    const take = (end) => {
      const text = this.decoder.decode(bytes.subarray(start, end));
      lines.push({ text, style });
      for (const sequence of text.matchAll(/\x1b\[([\d;:]*)m/g)) style = ansi.sgr(sequence[1], style);
    };
    for (let line = lineEnd(bytes, 0, bytes.length); line; line = lineEnd(bytes, start, bytes.length)) {
      take(line.end);
      start = line.next;
    }
    if (start < bytes.length) take(bytes.length);
    return lines;
  }
}
