"use strict";
// Drag to move, wheel or + and - to zoom, 0 for the whole tree; a click shows what a package needs and what needs it.
const svg = document.documentElement, view = svg.viewBox.baseVal;
const whole = [view.x, view.y, view.width, view.height];
svg.setAttribute("width", "100%");
svg.setAttribute("height", "100%");
const show = (x, y, w, h) => svg.setAttribute("viewBox", [x, y, w, h].join(" "));
const point = e => new DOMPoint(e.clientX, e.clientY).matrixTransform(svg.getScreenCTM().inverse());
function zoom(factor, x, y) {
  const w = Math.min(Math.max(view.width * factor, 100), whole[2] * 4), f = w / view.width;
  show(x - (x - view.x) * f, y - (y - view.y) * f, w, view.height * f);
}
const middle = factor => zoom(factor, view.x + view.width / 2, view.y + view.height / 2);
svg.addEventListener("wheel", e => {
  e.preventDefault();
  const p = point(e);
  zoom(e.deltaY > 0 ? 1.2 : 1 / 1.2, p.x, p.y);
}, { passive: false });
let held = null, moved = false;
svg.addEventListener("pointerdown", e => { held = point(e); moved = false; });
svg.addEventListener("pointermove", e => {
  if (!held || !e.buttons) return;
  const p = point(e), far = 3 * view.width / window.innerWidth;
  if (!moved && Math.hypot(p.x - held.x, p.y - held.y) < far) return;
  moved = true;
  show(view.x + held.x - p.x, view.y + held.y - p.y, view.width, view.height);
});
svg.addEventListener("pointerup", () => { held = null; });
svg.addEventListener("click", e => {
  if (moved) return;
  for (const old of svg.querySelectorAll(".near")) old.classList.remove("near");
  const node = e.target.closest(".n");
  svg.classList.toggle("picked", !!node);
  if (!node) return;
  const name = node.dataset.name, near = new Set([name]);
  for (const edge of svg.querySelectorAll(".e")) {
    const { from, to } = edge.dataset;
    if (from !== name && to !== name) continue;
    edge.classList.add("near");
    near.add(from).add(to);
  }
  for (const n of svg.querySelectorAll(".n")) n.classList.toggle("near", near.has(n.dataset.name));
});
window.addEventListener("keydown", e => {
  const step = view.width / 10;
  const act = {
    "+": () => middle(1 / 1.2), "-": () => middle(1.2), "0": () => show(...whole),
    ArrowLeft: () => show(view.x - step, view.y, view.width, view.height),
    ArrowRight: () => show(view.x + step, view.y, view.width, view.height),
    ArrowUp: () => show(view.x, view.y - step, view.width, view.height),
    ArrowDown: () => show(view.x, view.y + step, view.width, view.height),
  }[e.key];
  if (!act) return;
  e.preventDefault();
  act();
});
