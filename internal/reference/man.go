package reference

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"
)

// Man gives a man page of section 1 for root and each command below it, by file name. Without a date in it, the same
// code makes the same pages.
func Man(root *cobra.Command, version string) map[string]string {
	pages := map[string]string{}
	for _, c := range commands(root) {
		pages[manName(c)+".1"] = page(c, root.Name()+" "+version)
	}
	return pages
}

func manName(c *cobra.Command) string { return strings.ReplaceAll(c.CommandPath(), " ", "-") }

func page(c *cobra.Command, source string) string {
	h := parse(c.Long)
	var b strings.Builder
	fmt.Fprintf(&b, ".TH %s 1 \"\" %s \"caur\"\n.nh\n.ad l\n", quote(strings.ToUpper(manName(c))), quote(source))
	fmt.Fprintf(&b, ".SH NAME\n%s \\- %s\n", roff(manName(c)), roff(c.Short))
	b.WriteString(".SH SYNOPSIS\n")
	if c.Runnable() {
		fmt.Fprintf(&b, "\\fB%s\\fR\n", roff(c.UseLine()))
	} else {
		fmt.Fprintf(&b, "\\fB%s\\fR \\fICOMMAND\\fR [flags]\n", roff(c.CommandPath()))
	}
	b.WriteString(".SH DESCRIPTION\n")
	for _, p := range h.blocks {
		if p.verbatim {
			fmt.Fprintf(&b, ".PP\n.nf\n%s\n.fi\n", roff(p.text))
		} else {
			fmt.Fprintf(&b, ".PP\n%s\n", roff(p.text))
		}
	}
	below(&b, c)
	manOptions(&b, "OPTIONS", options(c.NonInheritedFlags()))
	manOptions(&b, "OPTIONS OF EVERY COMMAND", options(c.InheritedFlags()))
	if len(h.settings) > 0 {
		b.WriteString(".SH ENVIRONMENT\n")
		for _, s := range h.settings {
			fmt.Fprintf(&b, ".TP\n\\fB%s\\fR\n%s\n", roff(s[0]), roff(s[1]))
		}
	}
	if h.exit != "" {
		fmt.Fprintf(&b, ".SH EXIT STATUS\n%s\n", roff(h.exit))
	}
	if c.Example != "" {
		fmt.Fprintf(&b, ".SH EXAMPLES\n.nf\n%s\n.fi\n", roff(example(c.Example)))
	}
	if c.HasParent() {
		fmt.Fprintf(&b, ".SH SEE ALSO\n\\fB%s\\fR(1)\n", roff(manName(c.Parent())))
	}
	return b.String()
}

// below lists the commands of a group.
func below(b *strings.Builder, c *cobra.Command) {
	var list []*cobra.Command
	for _, sub := range c.Commands() {
		if !sub.Hidden && sub.Name() != "help" {
			list = append(list, sub)
		}
	}
	if len(list) == 0 {
		return
	}
	b.WriteString(".SH COMMANDS\n")
	for _, sub := range list {
		fmt.Fprintf(b, ".TP\n\\fB%s\\fR(1)\n%s\n", roff(manName(sub)), roff(sub.Short))
	}
}

func manOptions(b *strings.Builder, title string, list []option) {
	if len(list) == 0 {
		return
	}
	fmt.Fprintf(b, ".SH %s\n", title)
	for _, o := range list {
		fmt.Fprintf(b, ".TP\n\\fB%s\\fR", roff(o.names))
		if o.value != "" {
			fmt.Fprintf(b, " \\fI%s\\fR", roff(o.value))
		}
		text := o.text
		if o.initial != "" {
			text += " (default " + o.initial + ")"
		}
		fmt.Fprintf(b, "\n%s\n", roff(text))
	}
}

// roff writes text so that no line of it is a request and no letter of it an escape.
func roff(text string) string {
	text = strings.NewReplacer(`\`, `\e`, "-", `\-`, "'", `\(aq`, "`", "\\(ga", "^", `\(ha`, "~", `\(ti`).Replace(text)
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		if strings.HasPrefix(line, ".") {
			lines[i] = `\&` + line
		}
	}
	return strings.Join(lines, "\n")
}

func quote(s string) string { return `"` + strings.ReplaceAll(s, `"`, `\(dq`) + `"` }
