// Package history keeps what the queue's events tell of past builds in memory, so that pages can show it without asking
// Redis: how long builds of a package take, how they ended and why, what a builder did.
//
// Contract:
//
//   - One reader a process follows the queue's events, from the oldest that is kept; it goes on where it was after Redis
//     was away. The index is bounded: the oldest builds leave it first.
//   - A [Build] never changes after it was added and may be kept.
//   - Nothing here is the truth: a restart rebuilds it from the events that the queue still has. When events were trimmed
//     before they were read, builds are missing and nothing else is wrong.
package history
