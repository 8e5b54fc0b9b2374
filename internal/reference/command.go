package reference

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"
)

// Command is the hidden command with which a release is made: it writes the man pages and shell completions of its
// program into a directory laid out as below /usr/share.
func Command() *cobra.Command {
	return &cobra.Command{
		Use:    "reference DIR",
		Short:  "Write man pages and shell completions",
		Hidden: true,
		Long: `Writes the man pages and the completions of bash, zsh and fish into DIR, which is laid out as /usr/share is. For whoever packages this program.

Exit status: 0 done, 1 failed, 2 wrong usage.`,
		Example: "  caur-ci reference dist/share",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			files, err := Files(cmd.Root(), cmd.Root().Version)
			if err != nil {
				return err
			}
			return write(args[0], files)
		},
	}
}

// Files are the man pages and completions of root, by path below /usr/share.
func Files(root *cobra.Command, version string) (map[string]string, error) {
	files := map[string]string{}
	for name, text := range Man(root, version) {
		files["man/man1/"+name] = text
	}
	for path, gen := range map[string]func(*bytes.Buffer) error{
		"bash-completion/completions/" + root.Name():         func(b *bytes.Buffer) error { return root.GenBashCompletionV2(b, true) },
		"zsh/site-functions/_" + root.Name():                 func(b *bytes.Buffer) error { return root.GenZshCompletion(b) },
		"fish/vendor_completions.d/" + root.Name() + ".fish": func(b *bytes.Buffer) error { return root.GenFishCompletion(b, true) },
	} {
		var b bytes.Buffer
		if err := gen(&b); err != nil {
			return nil, fmt.Errorf("write the completion %s: %w", path, err)
		}
		files[path] = b.String()
	}
	return files, nil
}

func write(dir string, files map[string]string) error {
	for name, text := range files {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return fmt.Errorf("make the folder of %s: %w", name, err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			return fmt.Errorf("write %s: %w", name, err)
		}
	}
	return nil
}
