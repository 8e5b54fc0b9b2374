// Package reference makes the documentation of a program from its command line: a Markdown page, man pages and shell
// completions. The tree of commands is the only source; nothing is written twice.
package reference

import (
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// Setting is a row of a table of settings.
type Setting struct {
	Name, Default, Help string
	Required, Secret    bool
}

// Group is a table of settings with a title and who reads it.
type Group struct {
	Title, Text string
	Settings    []Setting
}

// settingsTitle is the line above the settings in the help of a command.
const settingsTitle = "Settings (environment):"

// block is a paragraph of a help text, or lines that stay as they are.
type block struct {
	text     string
	verbatim bool
}

// help is a command's long text taken apart.
type help struct {
	blocks   []block
	settings [][2]string // name, help
	exit     string
}

// parse takes a long text apart: paragraphs, lines that are indented, the list of settings, the exit status.
func parse(long string) help {
	var h help
	for part := range strings.SplitSeq(strings.TrimSpace(long), "\n\n") {
		switch rest, isSettings := strings.CutPrefix(part, settingsTitle+"\n"); {
		case isSettings:
			for line := range strings.SplitSeq(rest, "\n") {
				name, text, _ := strings.Cut(strings.TrimSpace(line), "  ")
				h.settings = append(h.settings, [2]string{name, strings.TrimSpace(text)})
			}
		case strings.HasPrefix(part, "Exit status:"):
			h.exit = strings.TrimSpace(strings.TrimPrefix(part, "Exit status:"))
		default:
			h.blocks = append(h.blocks, blocks(part)...)
		}
	}
	return h
}

// blocks parts a paragraph where its indentation begins or ends.
func blocks(part string) []block {
	var list []block
	for line := range strings.SplitSeq(part, "\n") {
		verbatim := strings.HasPrefix(line, " ") || strings.HasPrefix(line, "\t")
		if n := len(list); n > 0 && list[n-1].verbatim == verbatim {
			list[n-1].text += "\n" + line
			continue
		}
		list = append(list, block{text: line, verbatim: verbatim})
	}
	return list
}

// commands lists root and what is below it, in the order of the help, without what is hidden and cobra's own help.
func commands(root *cobra.Command) []*cobra.Command {
	list := []*cobra.Command{root}
	for _, c := range root.Commands() {
		if !c.Hidden && c.Name() != "help" {
			list = append(list, commands(c)...)
		}
	}
	return list
}

// option is a flag as help shows it.
type option struct {
	names   string // -n, --dry-run
	value   string // name of its value, "" for none
	text    string
	initial string // default, "" where it goes without saying
}

func options(flags *pflag.FlagSet) []option {
	var list []option
	flags.VisitAll(func(f *pflag.Flag) {
		if f.Hidden || f.Name == "help" || f.Name == "version" {
			return
		}
		o := option{names: "--" + f.Name}
		if f.Shorthand != "" {
			o.names = "-" + f.Shorthand + ", " + o.names
		}
		o.value, o.text = pflag.UnquoteUsage(f)
		if !slices.Contains([]string{"", "0", "false", "[]", "0s", "-1"}, f.DefValue) {
			o.initial = f.DefValue
		}
		list = append(list, o)
	})
	return list
}

// example gives the lines of an example without the indentation that help has.
func example(text string) string {
	lines := strings.Split(strings.Trim(text, "\n"), "\n")
	for i := range lines {
		lines[i] = strings.TrimPrefix(strings.TrimRight(lines[i], " "), "  ")
	}
	return strings.Join(lines, "\n")
}
