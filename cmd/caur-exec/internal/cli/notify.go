package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/spf13/cobra"

	"github.com/caur-build/caur/cmd/caur-exec/internal/notify"
	"github.com/caur-build/caur/internal/command"
	"github.com/caur-build/caur/internal/redisconn"
)

func (a *app) notify() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "notify",
		Short: "Look after notifications: what waits, what could not be sent",
		Long: `Notifications wait in an outbox until their target has taken them. What a target refused, or did not take for a day, becomes a
dead letter, which is kept until it is sent again or dropped.` + exitStatus,
		Example: `  caur-exec notify ls
  caur-exec notify test`,
		Args: cobra.NoArgs,
	}
	cmd.AddCommand(a.notifyList(), a.notifyRetry(), a.notifyDrop(), a.notifyTest())
	return cmd
}

func (a *app) withOutbox(ctx context.Context, do func(*notify.Outbox) error) error {
	var where redisconn.Config
	if err := a.load(ctx, &where); err != nil {
		return err
	}
	rdb, err := redisconn.Open(ctx, where)
	if err != nil {
		return redisError(err)
	}
	defer rdb.Close()
	return do(notify.NewOutbox(rdb))
}

func (a *app) notifyList() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "ls [TARGET]",
		Short: "List targets, how they do, and the dead letters",
		Long:  `Lists the targets that ever had a message, how many wait, and the dead letters of one target or of all.` + settingsHelp(redisconn.Config{}) + exitStatus,
		Example: `  caur-exec notify ls
  caur-exec notify ls --json | jq -r '.dead_letters[].why'`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.withOutbox(cmd.Context(), func(o *notify.Outbox) error { return a.listOutbox(cmd.Context(), o, args, asJSON) })
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON: targets and dead_letters")
	return cmd
}

func (a *app) listOutbox(ctx context.Context, o *notify.Outbox, only []string, asJSON bool) error {
	states, err := o.States(ctx)
	if err != nil {
		return err
	}
	report := struct {
		Targets     []notify.TargetState `json:"targets"`
		DeadLetters []notify.DeadLetter  `json:"dead_letters"`
	}{[]notify.TargetState{}, []notify.DeadLetter{}}
	for _, s := range states {
		if len(only) > 0 && s.Target != only[0] {
			continue
		}
		report.Targets = append(report.Targets, s)
		dead, err := o.DeadLetters(ctx, s.Target)
		if err != nil {
			return err
		}
		report.DeadLetters = append(report.DeadLetters, dead...)
	}
	if len(only) > 0 && len(report.Targets) == 0 {
		return fmt.Errorf("no target %s ever had a message", only[0])
	}
	if !asJSON {
		a.printf("%s", command.Sanitize(outboxText(report.Targets, report.DeadLetters)))
		return nil
	}
	data, err := json.Marshal(report)
	if err != nil {
		return fmt.Errorf("outbox as JSON: %w", err)
	}
	a.printf("%s\n", data)
	return nil
}

func outboxText(targets []notify.TargetState, dead []notify.DeadLetter) string {
	var b strings.Builder
	if len(targets) == 0 {
		return "Nothing was ever sent.\n"
	}
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "TARGET\tWAITING\tSENT\tDEAD\tFAILURES IN A ROW\tLAST ERROR\n")
	for _, t := range targets {
		fmt.Fprintf(w, "%s\t%d\t%d\t%d\t%d\t%s\n", t.Target, t.Waiting, t.Sent, t.Dead, t.Failures, orDash(t.Error))
	}
	if len(dead) > 0 {
		fmt.Fprintf(w, "\nDEAD LETTER OF\tGIVEN UP\tMESSAGE\tWHY\n")
	}
	for _, d := range dead {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", d.Target, d.Time.UTC().Format(time.DateTime), d.Text(), d.Why)
	}
	_ = w.Flush() // to a builder
	return b.String()
}

// each does something with one target, or with all.
func each(ctx context.Context, o *notify.Outbox, args []string, do func(target string) (int, error)) (int, error) {
	targets := args
	if len(targets) == 0 {
		states, err := o.States(ctx)
		if err != nil {
			return 0, err
		}
		for _, s := range states {
			targets = append(targets, s.Target)
		}
	}
	total := 0
	for _, target := range targets {
		n, err := do(target)
		total += n
		if err != nil {
			return total, err
		}
	}
	return total, nil
}

func (a *app) notifyRetry() *cobra.Command {
	return &cobra.Command{
		Use:     "retry [TARGET]",
		Short:   "Send dead letters again",
		Long:    `Puts the dead letters of one target, or of all, back into the outbox, behind what waits there.` + settingsHelp(redisconn.Config{}) + exitStatus,
		Example: `  caur-exec notify retry telegram`,
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.withOutbox(cmd.Context(), func(o *notify.Outbox) error {
				n, err := each(cmd.Context(), o, args, func(t string) (int, error) { return o.Retry(cmd.Context(), t) })
				a.printf("%d put back\n", n)
				return err
			})
		},
	}
}

func (a *app) notifyDrop() *cobra.Command {
	var waiting bool
	cmd := &cobra.Command{
		Use:     "drop TARGET",
		Short:   "Forget the dead letters of a target",
		Long:    `Forgets the dead letters of a target; with --waiting also what waits to be sent to it.` + settingsHelp(redisconn.Config{}) + exitStatus,
		Example: `  caur-exec notify drop --waiting old-channel`,
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.withOutbox(cmd.Context(), func(o *notify.Outbox) error {
				n, err := o.Drop(cmd.Context(), args[0], waiting)
				a.printf("%d dropped\n", n)
				return err
			})
		},
	}
	cmd.Flags().BoolVar(&waiting, "waiting", false, "forget what waits, too")
	return cmd
}

func (a *app) notifyTest() *cobra.Command {
	return &cobra.Command{
		Use:   "test [TARGET]",
		Short: "Send a test message at once",
		Long: `Sends a test message to one chat target, or names the targets that the settings have. It needs no Redis.` +
			settingsHelp(notify.Settings{}) + exitStatus,
		Example: `  caur-exec notify test telegram`,
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			var s notify.Settings
			if err := a.load(cmd.Context(), &s); err != nil {
				return err
			}
			var none redis.UniversalClient // a test goes past the outbox
			n, err := notify.New(notify.Options{Settings: s, Redis: none, Log: a.io.Logger()})
			if err != nil {
				return err
			}
			if len(args) == 0 {
				a.printf("%s\n", strings.Join(n.Targets(), "\n"))
				return nil
			}
			if err := n.Test(cmd.Context(), args[0]); err != nil {
				return err
			}
			a.printf("sent to %s\n", args[0])
			return nil
		},
	}
}
