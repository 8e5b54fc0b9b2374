// Keeps pages current and adds what is comfortable. Every page is whole without it: the server renders it.
'use strict';

const quiet = 30000; // without events, the page is fetched this often
const atLeast = 2000; // between two fetches

// refresh takes the new content of the page. A parsed document runs no script, and the policy of the page forbids inline ones.
async function refresh() {
  const main = document.querySelector('main[data-live]');
  if (!main || document.hidden) return;
  try {
    const answer = await fetch(location.href, { cache: 'no-store' });
    if (!answer.ok) return;
    const page = new DOMParser().parseFromString(await answer.text(), 'text/html');
    for (const part of ['main', 'footer']) {
      const from = page.querySelector(part);
      const to = document.querySelector(part);
      if (from && to && !busy(to)) morph(to, from);
    }
  } catch {
    // The server restarts or the network is away: the next round tries again.
  }
}

// busy says that someone types in there: nothing may be taken from under their hands.
function busy(part) {
  const active = document.activeElement;
  return part.contains(active) && (active.tagName === 'INPUT' || active.tagName === 'BUTTON');
}

// morph makes a node like another one and leaves what is the same alone: focus, selection, open details, scroll positions.
function morph(to, from) {
  const old = [...to.childNodes];
  const now = [...from.childNodes];
  now.forEach((node, i) => {
    const was = old[i];
    if (!was) to.append(node);
    else if (!was.isEqualNode(node)) {
      if (was.nodeType === 1 && was.nodeName === node.nodeName) {
        for (const a of [...was.attributes]) if (!node.hasAttribute(a.name) && a.name !== 'open') was.removeAttribute(a.name);
        for (const a of node.attributes) if (was.getAttribute(a.name) !== a.value) was.setAttribute(a.name, a.value);
        morph(was, node);
      } else was.replaceWith(node);
    }
  });
  old.slice(now.length).forEach((node) => node.remove());
}

function live() {
  let last = Date.now();
  let planned = 0;
  const soon = () => {
    if (planned) return;
    planned = setTimeout(async () => {
      last = Date.now();
      await refresh();
      planned = 0;
    }, Math.max(0, atLeast - (Date.now() - last)));
  };
  const events = new EventSource('api/events');
  for (const kind of ['queued', 'started', 'requeued', 'delivered', 'ended', 'gap']) events.addEventListener(kind, soon);
  setInterval(soon, quiet);
  document.addEventListener('visibilitychange', soon);
}

// filter hides rows of the list of all that waits, while one types. Without script the form asks the server.
function filter() {
  const field = document.getElementById('filter');
  const rows = [...document.querySelectorAll('main tbody tr')].map((row) => [row, row.cells[0].textContent.toLowerCase()]);
  field.addEventListener('input', () => {
    const text = field.value.trim().toLowerCase();
    let shown = 0;
    for (const [row, name] of rows) {
      row.hidden = !name.includes(text);
      if (!row.hidden) shown++;
    }
    document.getElementById('filtered').textContent = text ? `${shown} of ${rows.length} shown` : '';
  });
}

// graph lets the drawing be moved and zoomed by its view box.
function graph() {
  const box = document.getElementById('graph');
  const svg = box.querySelector('svg');
  const whole = svg.viewBox.baseVal;
  const full = { x: whole.x, y: whole.y, width: whole.width, height: whole.height };
  let view;
  const show = () => svg.setAttribute('viewBox', `${view.x} ${view.y} ${view.width} ${view.height}`);
  const fit = () => { view = { ...full }; show(); };
  const zoom = (factor, x = 0.5, y = 0.5) => {
    const width = Math.min(Math.max(view.width * factor, 150), full.width * 3);
    factor = width / view.width;
    view = { x: view.x + view.width * x * (1 - factor), y: view.y + view.height * y * (1 - factor), width, height: view.height * factor };
    show();
  };
  const move = (dx, dy) => { view.x += dx; view.y += dy; show(); };
  const first = () => { // letters as large as those of the page, as long as that is not the whole drawing
    view = { x: 0, y: 0, width: Math.max(box.clientWidth, 300), height: Math.max(box.clientHeight, 200) };
    if (view.width > full.width && view.height > full.height) fit(); else show();
  };
  box.classList.add('zooms');
  document.querySelector('.graph-tools').hidden = false;
  document.getElementById('zoom-in').addEventListener('click', () => zoom(0.8));
  document.getElementById('zoom-out').addEventListener('click', () => zoom(1.25));
  document.getElementById('zoom-fit').addEventListener('click', fit);
  box.addEventListener('wheel', (e) => {
    e.preventDefault();
    const at = box.getBoundingClientRect();
    if (e.ctrlKey) zoom(e.deltaY < 0 ? 0.9 : 1.1, (e.clientX - at.left) / at.width, (e.clientY - at.top) / at.height);
    else move(e.deltaX * view.width / at.width, e.deltaY * view.height / at.height);
  }, { passive: false });
  box.addEventListener('keydown', (e) => {
    const step = view.width / 10;
    const act = { '+': () => zoom(0.8), '=': () => zoom(0.8), '-': () => zoom(1.25), 0: fit, ArrowLeft: () => move(-step, 0), ArrowRight: () => move(step, 0), ArrowUp: () => move(0, -step), ArrowDown: () => move(0, step) }[e.key];
    if (act && !e.ctrlKey && !e.metaKey) { act(); e.preventDefault(); }
  });
  let held = null;
  box.addEventListener('pointerdown', (e) => { held = { x: e.clientX, y: e.clientY, far: false }; });
  window.addEventListener('pointermove', (e) => {
    if (!held) return;
    const scale = view.width / box.clientWidth;
    if (Math.abs(e.clientX - held.x) + Math.abs(e.clientY - held.y) > 4) held.far = true;
    if (!held.far) return;
    move((held.x - e.clientX) * scale, (held.y - e.clientY) * scale);
    held = { x: e.clientX, y: e.clientY, far: true };
  });
  window.addEventListener('pointerup', () => {
    if (held && held.far) { // a drag is no click on the job below
      const stop = (click) => click.preventDefault();
      box.addEventListener('click', stop, true);
      setTimeout(() => box.removeEventListener('click', stop, true));
    }
    held = null;
  });
  svg.addEventListener('dragstart', (e) => e.preventDefault());
  first();
}

window.addEventListener('keydown', (e) => {
  if (e.key === '/' && !/^(INPUT|TEXTAREA)$/.test(document.activeElement.tagName)) {
    document.getElementById('q').focus();
    e.preventDefault();
  }
});
if (document.querySelector('main[data-live]')) live();
if (document.getElementById('filter')) filter();
if (document.querySelector('#graph svg')) graph();
