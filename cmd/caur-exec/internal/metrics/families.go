package metrics

import "github.com/prometheus/client_golang/prometheus"

// family is a metric that is read from Redis.
type family struct {
	name, help string
	labels     []string
	perPackage bool // has the label pkgbase too, with METRICS_PER_PACKAGE
}

var buildLabels = []string{"target_repo", "build_class", "status", "arch"}

func built(name, help string) family { return family{name, help, buildLabels, true} }

// The names without caur_ are those of today's installations (executor.md section 5), as they are.
var families = []family{
	built("builds_total", "Jobs that ended, by how they ended."),
	built("builds_success", "Jobs whose packages were deployed."),
	built("builds_failed_build", "Jobs that failed: their build, or because their packages were refused."),
	built("builds_failed_software", "Jobs that ended because of the machinery: lost leases, faults of caur."),
	built("builds_failed_timeout", "Jobs whose build took too long."),
	built("builds_alreadyBuilt", "Jobs whose packages were in the target repo already."),
	built("builds_cancelled", "Jobs that were canceled or replaced."),
	built("builds_skipped", "Jobs that were skipped, as their package asked."),
	built("builds_requeued_total", "Builds that were given back to the queue: builder shut down, lease ran out, to be tried again."),
	built("builds_time_elapsed", "Duration of builds in seconds."),
	{name: "database_total", help: "Deliveries and clean-ups that were handled."},
	{name: "database_success", help: "Deliveries and clean-ups that were published."},
	{name: "database_failed", help: "Deliveries and clean-ups that were refused or failed."},
	{name: "builders_active", help: "Builders that build."},
	{name: "builders_idle", help: "Builders that wait for a job."},
	{name: "queue_current", help: "Jobs that wait for a builder or for other jobs."},

	{name: "caur_redis_up", help: "1 when the queue could be read for this answer."},
	{name: "caur_builders_drained", help: "Builders without a job that get none because they are drained."},
	{name: "caur_queue_jobs", help: "Jobs in the queue, by state.", labels: []string{"state"}},
	{name: "caur_queue_oldest_ready_seconds", help: "Age of the oldest job that could be built at once."},
	{name: "caur_queue_oldest_publishing_seconds", help: "How long the oldest built job waits to be published."},
	{name: "caur_queue_without_builder", help: "Waiting jobs that no builder seen lately takes."},
	{name: "caur_queue_lost_leases_total", help: "Leases that ran out: the builder died or was cut off."},

	{name: "caur_notify_sent_total", help: "Messages that arrived.", labels: []string{"target"}},
	{name: "caur_notify_failures_total", help: "Attempts to send that failed.", labels: []string{"target"}},
	{name: "caur_notify_dead_letters_total", help: "Messages that were given up.", labels: []string{"target"}},
	{name: "caur_notify_dropped_total", help: "Messages that were dropped because too many waited.", labels: []string{"target"}},
	{name: "caur_notify_dead_letters", help: "Messages that were given up and are kept.", labels: []string{"target"}},
	{name: "caur_notify_failures_in_a_row", help: "Attempts to send that failed since the last that did not.", labels: []string{"target"}},
	{name: "caur_notify_outbox_length", help: "Messages that wait to be sent.", labels: []string{"target"}},
	{name: "caur_notify_oldest_seconds", help: "Age of the message that waits first.", labels: []string{"target"}},
}

var byName = func() map[string]family {
	m := make(map[string]family, len(families))
	for _, f := range families {
		m[f.name] = f
	}
	return m
}()

func (f family) desc(perPackage bool) *prometheus.Desc {
	labels := f.labels
	if f.perPackage && perPackage {
		labels = append(labels[:len(labels):len(labels)], "pkgbase")
	}
	return prometheus.NewDesc(f.name, f.help, labels, nil)
}
