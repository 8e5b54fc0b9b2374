// Package web serves what people and front ends want to know: logs while they grow, the queue as JSON and as a page
// (executor.md section 5). It only reads.
//
// Contract:
//
//   - The JSON shapes are those of today's installations: keys may be added, never renamed; the golden tests hold them.
//   - Every link is relative, because reverse proxies strip a prefix. The whole site is served a second time below
//     /logs/, for proxies that do not strip theirs: the log page fetches api/logs/… relative to itself.
//   - Names and timestamps are checked before anything is looked up: 400 for what can be no package, 404 for what is
//     not known, both as plain text.
//   - A log is text/plain that browsers must not sniff. The log page puts it into the document as text only, and a strict
//     content security policy allows no inline script or style and nothing from elsewhere.
//   - Nobody starves: the queue is read at most once a second however many ask; connections, log streams, headers and
//     the time that a slow client may take are bounded.
//   - A log stream that ends without the log's END is cut off, so that a client can tell it from a complete one; it may
//     go on with ?offset=BYTES.
package web
