// Package notify tells forges and people what became of jobs (executor.md section 6): commit statuses on GitLab and GitHub, messages to Telegram and to
// whatever shoutrrr reaches (Matrix, ntfy, e-mail, Discord, webhooks, …).
//
// # Words
//
//   - target: somewhere that messages go; its name is safe to print, its address is not. "telegram", "status:SOURCE_REPO", or a name of NOTIFY_URLS.
//   - entry: a message that waits for one target, under a key. An entry that says less than the end of something is replaced by a newer one of its
//     key, so that a forge which was away learns the latest status at once.
//   - dead letter: an entry that its target refused, or did not take for a day. It stays to be looked at and sent again (caur-exec notify).
//   - digest: many entries as one message.
//
// # How it works
//
// A [Notifier] follows the events of the queue from a remembered place. One script puts what an event has to say into the outbox and moves the place, so
// that each event is put there once, whatever is killed when. One goroutine a target sends in order and takes an entry out after the target has
// acknowledged it: at least once. A target that fails is left alone for a while that grows; the others do not notice, and builds and publishing never do:
// nothing of theirs waits for this package. Of several database roles one notifies, that which holds the leadership.
//
// When events were lost (the queue trimmed them while no notifier ran), what became of the jobs told so far is asked of the queue itself.
//
// # Redis
//
// All keys begin with {caur-notify}: and so share a slot.
//
//	place            string: ID of the last event seen
//	leader           string: who notifies; runs out
//	open             hash: task id → event, JSON, of jobs that have not ended
//	seq              number: order of entries
//	targets          set: targets that ever had an entry
//	out:TARGET       zset: keys of entries by seq
//	body:TARGET      hash: key → kind (o may be replaced, f final, u once) and entry, JSON
//	dead:TARGET      list: dead letters, JSON, newest first, at most a thousand
//	state:TARGET     hash: failures error next: of the sending
//	count            hash: sent:TARGET failed:TARGET dead:TARGET dropped:TARGET since it began
package notify
