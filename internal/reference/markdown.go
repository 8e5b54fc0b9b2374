package reference

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"
)

// Markdown is the page of all commands of root. settingsPage is the page, beside it, with the settings that commands name.
func Markdown(root *cobra.Command, settingsPage string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "# %s\n\nThis page is made from the program's own help; a test keeps it up to date.\n", root.Name())
	list := commands(root)
	b.WriteString("\n| command | what it does |\n| --- | --- |\n")
	for _, c := range list[1:] {
		fmt.Fprintf(&b, "| [`%s`](#%s) | %s |\n", c.CommandPath(), anchor(c.CommandPath()), cell(c.Short))
	}
	for _, c := range list {
		if c != root {
			fmt.Fprintf(&b, "\n## %s\n\n%s.\n", c.CommandPath(), strings.TrimSuffix(c.Short, "."))
		}
		section(&b, c, settingsPage)
	}
	return b.String()
}

func section(b *strings.Builder, c *cobra.Command, settingsPage string) {
	h := parse(c.Long)
	if c.Runnable() {
		fmt.Fprintf(b, "\n```\n%s\n```\n", c.UseLine())
	}
	for _, p := range h.blocks {
		if p.verbatim {
			fmt.Fprintf(b, "\n```\n%s\n```\n", p.text)
		} else {
			fmt.Fprintf(b, "\n%s\n", escape(p.text))
		}
	}
	if list := options(c.NonInheritedFlags()); len(list) > 0 {
		b.WriteString("\n| flag | meaning |\n| --- | --- |\n")
		for _, o := range list {
			fmt.Fprintf(b, "| `%s` | %s |\n", strings.TrimSpace(o.names+" "+o.value), cell(o.text+byDefault(o.initial)))
		}
	}
	if len(h.settings) > 0 {
		names := make([]string, len(h.settings))
		for i, s := range h.settings {
			names[i] = "`" + s[0] + "`"
		}
		fmt.Fprintf(b, "\n[Settings](%s): %s.\n", settingsPage, strings.Join(names, ", "))
	}
	if h.exit != "" {
		fmt.Fprintf(b, "\nExit status: %s\n", escape(h.exit))
	}
	if c.Example != "" {
		fmt.Fprintf(b, "\n```sh\n%s\n```\n", example(c.Example))
	}
}

func byDefault(value string) string {
	if value == "" {
		return ""
	}
	return " (default `" + value + "`)"
}

// SettingsPage is a page of tables of settings.
func SettingsPage(title, intro string, groups []Group) string {
	var b strings.Builder
	fmt.Fprintf(&b, "# %s\n\nThis page is made from the code; a test keeps it up to date.\n\n%s\n", title, intro)
	for _, g := range groups {
		fmt.Fprintf(&b, "\n## %s\n\n", g.Title)
		if g.Text != "" {
			b.WriteString(g.Text + "\n\n")
		}
		b.WriteString("| setting | default | meaning |\n| --- | --- | --- |\n")
		for _, s := range g.Settings {
			initial := ""
			switch {
			case s.Required:
				initial = "*required*"
			case s.Default != "":
				initial = "`" + s.Default + "`"
			}
			help := cell(s.Help)
			if s.Secret {
				help += " *(secret)*"
			}
			fmt.Fprintf(&b, "| `%s` | %s | %s |\n", s.Name, initial, help)
		}
	}
	return b.String()
}

func anchor(path string) string { return strings.ReplaceAll(path, " ", "-") }

func cell(s string) string { return strings.ReplaceAll(escape(s), "|", `\|`) }

// escape keeps what stands in < > or between stars from being taken for markup.
func escape(s string) string {
	return strings.NewReplacer("<", "&lt;", ">", "&gt;", "*", `\*`).Replace(s)
}
