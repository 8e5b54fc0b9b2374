// Keeps the overview current. The page is whole without it: the server renders it, and without script it reloads itself.
'use strict';

const every = 5000;

async function refresh() {
  if (document.hidden) return;
  try {
    const answer = await fetch('./', { cache: 'no-store' });
    if (!answer.ok) return;
    // A parsed document runs no script, and the policy of the page forbids inline ones.
    const page = new DOMParser().parseFromString(await answer.text(), 'text/html');
    for (const part of ['header', 'main']) {
      const from = page.querySelector(part);
      const to = document.querySelector(part);
      if (from && to && !to.contains(document.activeElement)) to.replaceChildren(...from.childNodes);
    }
  } catch {
    // The server restarts or the network is away: the next round tries again.
  }
}

setInterval(refresh, every);
document.addEventListener('visibilitychange', refresh);
