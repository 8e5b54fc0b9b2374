package reference

import (
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"github.com/caur-build/caur/internal/testenv"
)

func program() *cobra.Command {
	root := &cobra.Command{Use: "prog", Short: "Do things"}
	root.PersistentFlags().StringP("repo", "C", ".", "the `DIR` of it")
	run := &cobra.Command{
		Use: "run PKG", Short: "Run a|b", RunE: func(*cobra.Command, []string) error { return nil },
		Long: `Runs <it>.
'quoted' line, .dotted and back\slash.

  kept   as it is

Settings (environment):
  A_KEY    first of both [x]
  B_KEY_2  second

Exit status: 0 done.`,
		Example: "  prog run a\n  prog run b --jobs 2",
	}
	run.Flags().IntP("jobs", "j", 1, "`N` at once")
	run.Flags().Bool("secret", false, "")
	_ = run.Flags().MarkHidden("secret")
	root.AddCommand(run, &cobra.Command{Use: "inner", Hidden: true, Run: func(*cobra.Command, []string) {}})
	return root
}

func TestMarkdownShowsCommandsFlagsSettingsAndExamples(t *testing.T) {
	page := Markdown(program(), "settings.md")
	for _, want := range []string{
		"# prog\n", "| [`prog run`](#prog-run) | Run a\\|b |", "## prog run\n", "Runs &lt;it&gt;.", "```\n  kept   as it is\n```",
		"| `-j, --jobs N` | N at once (default `1`) |", "[Settings](settings.md): `A_KEY`, `B_KEY_2`.", "Exit status: 0 done.",
		"```sh\nprog run a\nprog run b --jobs 2\n```",
	} {
		if !strings.Contains(page, want) {
			t.Errorf("%q is missing in\n%s", want, page)
		}
	}
	for _, hidden := range []string{"secret", "inner", "first of both"} {
		if strings.Contains(page, hidden) {
			t.Errorf("%q is on the page", hidden)
		}
	}
}

// overstrike is how a typewriter writes bold and underlined letters.
var overstrike = regexp.MustCompile(".\x08")

func TestManPagesAreReadByManWithoutAWarning(t *testing.T) {
	testenv.Need(t, "groff")
	pages := Man(program(), "1.2")
	if len(pages) != 2 || pages["prog.1"] == "" {
		t.Fatalf("pages %d, want prog.1 and prog-run.1", len(pages))
	}
	for name, text := range pages {
		cmd := exec.Command("groff", "-man", "-Tutf8", "-P-c", "-ww", "-Kutf8")
		cmd.Stdin = strings.NewReader(text)
		var warnings strings.Builder
		cmd.Stderr = &warnings
		out, err := cmd.Output()
		if err != nil || warnings.Len() > 0 {
			t.Errorf("%s: %v\n%s", name, err, warnings.String())
		}
		if name != "prog-run.1" {
			continue
		}
		for _, want := range []string{"'quoted' line, .dotted and back\\slash.", "kept   as it is", "A_KEY", "--jobs N", "prog run b --jobs 2", "EXIT STATUS"} {
			if text := overstrike.ReplaceAllString(string(out), ""); !strings.Contains(text, want) {
				t.Errorf("%q is missing in\n%s", want, text)
			}
		}
	}
}

func TestCompletionsAreWrittenForEachShell(t *testing.T) {
	files, err := Files(program(), "1.2")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := write(dir, files); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"bash-completion/completions/prog", "zsh/site-functions/_prog", "fish/vendor_completions.d/prog.fish", "man/man1/prog.1"} {
		if !strings.Contains(files[name], "prog") {
			t.Errorf("%s says nothing of the program", name)
		}
	}
	if out, err := exec.Command("bash", "-n", filepath.Join(dir, "bash-completion/completions/prog")).CombinedOutput(); err != nil {
		t.Errorf("bash: %v\n%s", err, out)
	}
}
