package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/caur-build/caur/cmd/caur-exec/internal/doctor"
	"github.com/caur-build/caur/internal/command"
	"github.com/caur-build/caur/internal/settings"
)

func (a *app) doctor() *cobra.Command {
	var asJSON, inside bool
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Check whether this machine can build, and say what to mend",
		Long: `Takes the settings of the builder role and tries what a build needs: Redis, its settings and its clock, the database role,
directories and disk space, the container engine, the image and the programs in it, and the way of the packages to the
landing zone. Each check is ok, a warning, or has failed, with what to do. Nothing of a running builder is disturbed; what is
written for a check is removed again.

Exit status: 0 done, all is well or there are only warnings; 1 a check failed; 2 wrong usage or settings.` + settingsHelp(builderRole{}),
		Example: `  caur-exec doctor
  caur-exec doctor --json | jq -r '.[] | select(.status == "failed") | .fix'`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if inside {
				return doctor.LookInside(a.io.Out)
			}
			return a.runDoctor(cmd.Context(), asJSON)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON: a list of {check, status, detail, fix}")
	cmd.Flags().BoolVar(&inside, "inside", false, "say what is in this container")
	_ = cmd.Flags().MarkHidden("inside")
	return cmd
}

func (a *app) runDoctor(ctx context.Context, asJSON bool) error {
	var s builderRole
	look := settings.First(lookup(a.io.Getenv), settings.Map(map[string]string{"BUILDER_HOSTNAME": hostname()}))
	if err := settings.Load(ctx, &s, look); err != nil {
		return err
	}
	findings := doctor.Examine(ctx, doctor.Options{Builder: s.Builder, Redis: s.Redis})
	if asJSON {
		data, err := json.MarshalIndent(findings, "", "  ")
		if err != nil {
			return fmt.Errorf("findings as JSON: %w", err)
		}
		a.printf("%s\n", data)
	} else {
		a.printf("%s", command.Sanitize(findingsText(findings)))
	}
	for _, f := range findings {
		if f.Status == doctor.Failed {
			return &command.ExitError{Code: 1, Err: errors.New("this machine cannot build as it is")}
		}
	}
	return nil
}

// findingsText is the report for people: a line a check, and what to do below it.
func findingsText(findings []doctor.Finding) string {
	var b strings.Builder
	for _, f := range findings {
		fmt.Fprintf(&b, "%-8s %s: %s\n", f.Status, f.Check, strings.ReplaceAll(f.Detail, "\n", "\n         "))
		if f.Fix != "" {
			fmt.Fprintf(&b, "         → %s\n", f.Fix)
		}
	}
	return b.String()
}
