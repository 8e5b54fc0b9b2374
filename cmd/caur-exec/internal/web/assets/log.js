// Shows a log while it grows: only the rows in sight are in the document.
'use strict';

const rowHeight = 18;
const tallest = 15e6; // pixels: browsers draw nothing taller; then a pixel of scrolling is more than one of the log
const longest = 4000; // characters shown of a row
const tailSize = 128 << 10; // shown at once while a large log is read
const maxMatches = 10000;

const element = (name, className, text) => {
  const e = document.createElement(name);
  if (className) e.className = className;
  if (text !== undefined) e.textContent = text;
  return e;
};
const pause = (ms) => new Promise((done) => { setTimeout(done, ms); });

function duration(ms) {
  const s = Math.max(0, Math.round(ms / 1000));
  const two = (n) => String(n).padStart(2, '0');
  return s < 3600 ? `${Math.floor(s / 60)}:${two(s % 60)}` : `${Math.floor(s / 3600)}:${two(Math.floor(s / 60) % 60)}:${two(s % 60)}`;
}

// Steps knows which lines are folded away, and how long steps took.
class Steps {
  constructor(index) {
    this.index = index;
    this.folded = new Set(); // line numbers of headings
    this.marks = [];
    this.end = 0;
  }

  lineAfter(i) { return i + 1 < this.index.steps.length ? this.index.steps[i + 1].line : this.index.count; }

  // hidden gives ranges of lines that are folded away, in order.
  hidden() {
    const ranges = [];
    this.index.steps.forEach((s, i) => { if (this.folded.has(s.line)) ranges.push([s.line + 1, this.lineAfter(i)]); });
    return ranges;
  }

  visible() { return this.hidden().reduce((n, [from, to]) => n - (to - from), this.index.count); }

  lineOf(row) {
    for (const [from, to] of this.hidden()) { if (row < from) break; row += to - from; }
    return row;
  }

  rowOf(line) {
    let row = line;
    for (const [from, to] of this.hidden()) {
      if (line >= to) row -= to - from;
      else if (line >= from) { row -= line - from + 1; break; }
    }
    return row;
  }

  // reveal unfolds the step that a line is in.
  reveal(line) {
    this.index.steps.forEach((s, i) => { if (line > s.line && line < this.lineAfter(i)) this.folded.delete(s.line); });
  }

  timeAt(offset) {
    let low = 0;
    let high = this.marks.length;
    while (low < high) { const mid = (low + high) >> 1; if (this.marks[mid][0] <= offset) low = mid + 1; else high = mid; }
    return low > 0 ? this.marks[low - 1][1] : 0;
  }

  took(i) {
    const from = this.timeAt(this.index.steps[i].offset);
    const next = this.index.steps[i + 1];
    const to = next ? this.timeAt(next.offset) : this.end;
    return from && to ? duration(to - from) : '';
  }
}

// View draws rows.
class View {
  constructor(box, index, lines, steps) {
    Object.assign(this, { box, index, lines, steps });
    this.preview = null; // lines of the end, until the index is there
    this.space = element('div', 'space');
    this.rows = element('div', 'rows');
    box.append(this.space, this.rows);
    this.marked = [-1, -1];
    this.hits = new Set();
    this.hit = -1;
    this.planned = false;
    box.addEventListener('scroll', () => this.plan(), { passive: true });
    new ResizeObserver(() => this.plan()).observe(box);
  }

  get count() { return this.preview ? this.preview.length : this.steps.visible(); }
  get height() { return Math.min(this.count * rowHeight, tallest); }
  get fits() { return Math.max(1, Math.floor(this.box.clientHeight / rowHeight)); }

  plan() {
    if (this.planned) return;
    this.planned = true;
    requestAnimationFrame(() => { this.planned = false; this.draw(); });
  }

  first() {
    const range = this.height - this.box.clientHeight;
    if (range <= 0) return 0;
    if (this.count * rowHeight <= tallest) return Math.floor(this.box.scrollTop / rowHeight);
    return Math.round(Math.min(1, this.box.scrollTop / range) * Math.max(0, this.count - this.fits));
  }

  draw() {
    this.space.style.height = `${this.height}px`;
    if (this.follow && this.follow.checked) this.box.scrollTop = this.box.scrollHeight;
    const first = this.first();
    const to = Math.min(this.count, first + this.fits + 2);
    const scaled = this.count * rowHeight > tallest;
    this.rows.style.top = `${scaled ? Math.min(this.box.scrollTop, this.height - (to - first) * rowHeight) : first * rowHeight}px`;
    const rows = [];
    for (let row = first; row < to; row++) rows.push(this.preview ? this.previewRow(row) : this.row(this.steps.lineOf(row)));
    const active = document.activeElement;
    const focus = this.rows.contains(active) ? active.dataset.key : null;
    this.rows.replaceChildren(...rows);
    if (focus) {
      const again = [...this.rows.querySelectorAll('[data-key]')].find((e) => e.dataset.key === focus);
      (again || this.box).focus({ preventScroll: true });
    }
  }

  previewRow(row) {
    const e = element('div', 'row');
    e.append(element('a', '', '…'), ...View.content({ text: this.preview[row], style: plainStyle }));
    return e;
  }

  row(line) {
    const e = element('div', 'row');
    const link = element('a', '', String(line + 1));
    link.href = `#L${line + 1}`;
    link.dataset.key = `a${line}`;
    e.append(link);
    if (line >= this.marked[0] && line <= this.marked[1]) e.classList.add('marked');
    if (this.hits.has(line)) e.classList.add(line === this.hit ? 'now' : 'hit');
    const step = this.index.steps.findIndex((s) => s.line === line);
    if (step >= 0) this.heading(e, step, line);
    const content = this.lines.get(line);
    e.append(...(content ? View.content(content) : ['…']));
    if (step >= 0) e.append(element('span', 'took', this.steps.took(step)));
    return e;
  }

  heading(e, step, line) {
    e.classList.add('step');
    const folded = this.steps.folded.has(line);
    const fold = element('button', 'fold', folded ? '▸' : '▾');
    fold.dataset.key = `f${line}`;
    fold.ariaExpanded = String(!folded);
    fold.ariaLabel = `Step ${this.index.steps[step].name}`;
    fold.addEventListener('click', () => this.toggle(line));
    e.append(fold);
  }

  toggle(line) {
    if (!this.steps.folded.delete(line)) this.steps.folded.add(line);
    this.follow.checked = false;
    this.plan();
    this.changed();
  }

  static content({ text, style }) {
    const nodes = [];
    let room = longest;
    for (const run of ansi.runs(text, style)) {
      if (room <= 0) { nodes.push(element('span', 'd', ' … the line is longer')); break; }
      nodes.push(ansi.span({ text: run.text.slice(0, room), style: run.style }));
      room -= run.text.length;
    }
    return nodes;
  }

  // show brings a line into sight.
  show(line) {
    this.follow.checked = false;
    this.steps.reveal(line);
    const row = Math.max(0, this.steps.rowOf(line) - Math.floor(this.fits / 3));
    this.space.style.height = `${this.height}px`;
    const scaled = this.count * rowHeight > tallest;
    this.box.scrollTop = scaled ? row / Math.max(1, this.count - this.fits) * (this.height - this.box.clientHeight) : row * rowHeight;
    this.plan();
  }

  // mark takes #L12 or #L12-L20; it says whether the lines are there.
  mark() {
    const found = /^#L(\d{1,9})(?:-L(\d{1,9}))?$/.exec(location.hash);
    if (!found) return true;
    const from = Number(found[1]) - 1;
    if (this.preview || from >= this.index.count) return false;
    this.marked = [from, Math.max(from, Number(found[2] || found[1]) - 1)];
    this.show(from);
    return true;
  }
}

// Search looks through all of the log, piece by piece.
class Search {
  constructor(view, bytes) {
    Object.assign(this, { view, bytes });
    this.run = 0;
    this.found = [];
    this.at = -1;
    this.out = document.getElementById('matches');
  }

  async start(text) {
    const run = ++this.run;
    this.found = [];
    this.at = -1;
    this.view.hits = new Set();
    this.view.hit = -1;
    this.view.plan();
    this.say('');
    if (!text) return;
    const wanted = text.toLowerCase();
    const { index } = this.view;
    const decoder = new TextDecoder();
    const step = 64; // groups at a time
    for (let g = 0; g < index.starts.length && this.found.length < maxMatches; g += step) {
      const to = g + step < index.starts.length ? index.starts[g + step] : index.size;
      const bytes = await this.bytes.wait(index.starts[g], to);
      if (run !== this.run) return;
      if (bytes) this.scan(bytes, g * groupSize, wanted, decoder);
      if (g % (step * 16) === 0) { await pause(0); this.say('searching'); }
    }
    this.say('');
    this.view.plan();
  }

  scan(bytes, line, wanted, decoder) {
    for (let start = 0; start < bytes.length; line++) {
      const end = lineEnd(bytes, start, bytes.length) || { end: bytes.length, next: bytes.length };
      const text = ansi.strip(decoder.decode(bytes.subarray(start, end.end)));
      if (text.toLowerCase().includes(wanted) && this.found.length < maxMatches) {
        this.found.push(line);
        this.view.hits.add(line);
        if (this.found.length === 1) this.go(1);
      }
      start = end.next;
    }
  }

  go(by) {
    if (this.found.length === 0) return;
    this.at = (this.at + by + this.found.length) % this.found.length;
    this.view.hit = this.found[this.at];
    this.view.show(this.view.hit);
    this.say('');
  }

  say(doing) {
    const many = this.found.length >= maxMatches ? `${maxMatches}+` : String(this.found.length);
    this.out.textContent = doing || (document.getElementById('needle').value ? `${this.at + 1} of ${many}` : '');
  }
}

// Page joins the parts and reads the log.
class Page {
  constructor() {
    this.box = document.getElementById('log');
    this.source = this.box.dataset.source;
    this.state = document.getElementById('state');
    this.index = new LogIndex();
    this.bytes = new LogBytes(this.source, () => this.view.plan());
    this.steps = new Steps(this.index);
    this.view = new View(this.box, this.index, new LogLines(this.index, this.bytes), this.steps);
    this.view.follow = document.getElementById('follow');
    this.view.changed = () => this.list();
    this.search = new Search(this.view, this.bytes);
    this.listed = 0;
    this.timed = 0;
    this.pendingMark = location.hash !== '';
    if (this.pendingMark) this.view.follow.checked = false;
    this.controls();
  }

  say(text) { if (this.state.textContent !== text) this.state.textContent = text; }

  controls() {
    const { follow } = this.view;
    const stop = () => { follow.checked = false; };
    this.box.addEventListener('wheel', (e) => { if (e.deltaY < 0) stop(); }, { passive: true });
    this.box.addEventListener('touchmove', stop, { passive: true });
    this.box.addEventListener('keydown', (e) => {
      if (['PageUp', 'Home', 'ArrowUp'].includes(e.key)) stop();
      if (e.key === 'End') follow.checked = true;
    });
    follow.addEventListener('change', () => this.view.plan());
    window.addEventListener('hashchange', () => { this.pendingMark = !this.view.mark(); });
    this.view.rows.addEventListener('click', (e) => {
      const to = /^#L(\d+)$/.exec(e.target.hash || '');
      if (to && e.shiftKey && this.view.marked[0] >= 0) { // a range
        e.preventDefault();
        const ends = [this.view.marked[0] + 1, Number(to[1])].sort((a, b) => a - b);
        location.hash = `L${ends[0]}-L${ends[1]}`;
      }
    });
    const needle = document.getElementById('needle');
    let typed;
    needle.addEventListener('input', () => { clearTimeout(typed); typed = setTimeout(() => this.search.start(needle.value), 250); });
    document.getElementById('find').addEventListener('submit', (e) => { e.preventDefault(); this.search.go(1); });
    document.getElementById('prev').addEventListener('click', () => this.search.go(-1));
    window.addEventListener('keydown', (e) => {
      if (e.key === '/' && document.activeElement.tagName !== 'INPUT') { needle.focus(); e.preventDefault(); }
    });
  }

  // list shows the steps beside the log.
  list() {
    const nav = document.getElementById('steps');
    this.listed = this.index.steps.length;
    nav.hidden = this.listed === 0;
    nav.replaceChildren(...this.index.steps.slice(0, 300).map((s, i) => {
      const row = element('div');
      const folded = this.steps.folded.has(s.line);
      const fold = element('button', 'fold', folded ? '▸' : '▾');
      fold.ariaLabel = `${folded ? 'Unfold' : 'Fold'} ${s.name}`;
      fold.ariaExpanded = String(!folded);
      fold.addEventListener('click', () => this.view.toggle(s.line));
      const go = element('button', 'go', s.name);
      go.addEventListener('click', () => this.view.show(s.line));
      row.append(fold, go, element('span', 'took', this.steps.took(i)));
      return row;
    }));
  }

  // times asks when the steps were, at most every three seconds.
  async times(now) {
    if (!now && (this.listed === this.index.steps.length || Date.now() - this.timed < 3000)) return;
    this.timed = Date.now();
    this.list();
    try {
      const answer = await fetch(`${this.source}/times`, { cache: 'no-store' });
      if (!answer.ok) return;
      const times = await answer.json();
      this.steps.marks = times.marks;
      this.steps.end = times.ended ? Date.parse(times.ended) : (times.marks[times.marks.length - 1] || [0, 0])[1];
      this.list();
      this.view.plan();
    } catch { /* durations are no more than an extra */ }
  }

  take(chunk) {
    this.bytes.add(chunk);
    this.index.add(chunk);
    if (this.view.preview && this.index.size >= this.previewEnd) this.view.preview = null;
    if (this.pendingMark) this.pendingMark = !this.view.mark();
    this.view.plan();
    this.times(false);
  }

  // tail shows the end of a large log at once, while the rest is read.
  async tail() {
    const answer = await fetch(this.source, { headers: { Range: `bytes=-${tailSize}` }, cache: 'no-store' });
    const size = Number(answer.headers.get('X-Log-Size'));
    if (answer.status !== 206 || size < 8 * tailSize) { if (answer.body) await answer.body.cancel(); return; }
    this.previewEnd = size;
    const text = new TextDecoder().decode(await answer.arrayBuffer());
    if (!this.pendingMark) this.view.preview = text.slice(text.indexOf('\n') + 1).replace(/\n$/, '').split('\n');
    this.view.plan();
  }

  async finish() {
    const answer = await fetch(this.source, { method: 'HEAD', cache: 'no-store' });
    const words = ['success', 'already built', 'skipped', 'failed', 'timed out', 'canceled', 'canceled and requeued', 'software failure'];
    const status = answer.headers.get('X-Log-Status');
    this.say(`finished${status !== null && words[status] ? `: ${words[status]}` : ''}`);
    this.view.preview = null;
    this.view.plan();
    await this.times(true);
  }

  async read() {
    await this.tail().catch(() => {});
    for (let wait = 1000; ; wait = Math.min(wait * 2, 15000)) {
      try {
        const answer = await fetch(`${this.source}?offset=${this.index.size}`, { cache: 'no-store' });
        if (answer.status === 404 && this.index.size === 0) this.say('no log yet: it appears when the build begins');
        else if (answer.status === 404 || answer.status === 416) { this.say('the log is not there any more'); return; }
        else if (answer.ok) {
          this.say(answer.headers.get('X-Log-Status') === null ? 'live' : 'loading');
          for (const reader = answer.body.getReader(); ;) {
            const { done, value } = await reader.read();
            if (done) { await this.finish(); return; }
            wait = 1000;
            this.take(value);
          }
        } else this.say(`the server answers ${answer.status}, trying again`);
      } catch {
        this.say('connection lost, trying again');
      }
      await pause(wait);
    }
  }
}

if (document.getElementById('log')) new Page().read();
