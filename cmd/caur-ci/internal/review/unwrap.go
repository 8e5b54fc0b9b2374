package review

import (
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/caur-build/caur/internal/pkgbuild"
)

// wrappers run the command in their arguments.
var wrappers = map[string]bool{
	"sudo": true, "doas": true, "pkexec": true, "env": true, "command": true, "exec": true, "builtin": true, "nohup": true, "setsid": true,
	"timeout": true, "nice": true, "ionice": true, "time": true, "stdbuf": true, "xargs": true, "busybox": true, "toybox": true, "fakeroot": true,
	"chroot": true, "arch-chroot": true, "unshare": true, "strace": true, "chrt": true, "taskset": true, "systemd-run": true, "runuser": true,
	"parallel": true, "watch": true, "flock": true, "xvfb-run": true, "dbus-run-session": true, "proxychains": true, "torsocks": true, "torify": true, "!": true,
}

var shells = map[string]bool{"sh": true, "bash": true, "dash": true, "zsh": true, "ksh": true, "ash": true, "fish": true, "rbash": true, "mksh": true}

var interpreters = map[string]string{ // and the option that takes code
	"python": "-c", "perl": "-e", "ruby": "-e", "node": "-e", "php": "-r", "lua": "-e", "awk": "", "gawk": "", "mawk": "", "tclsh": "", "deno": "eval", "bun": "-e",
	"nodejs": "-e", "pypy": "-c", "osascript": "-e", "luajit": "-e", "Rscript": "-e", "guile": "-c", "sqlite3": "",
}

// plainName takes the version off the name of an interpreter: python3.12 is python.
func plainName(name string) string {
	trimmed := strings.TrimRight(name, "0123456789.")
	if shells[trimmed] || interpreters[trimmed] != "" || trimmed == "pip" || trimmed == "awk" {
		return trimmed
	}
	return name
}

// dispatch notes a command and looks into what it runs: wrapped commands, code in arguments and on standard input.
func (s *scan) dispatch(r *resolver, c *command, in input) produced {
	c.name = plainName(c.name)
	if !s.spend(textLen(c.words)) {
		return produced{}
	}
	s.add(c)
	out := produced{commands: []*command{c}}
	if len(c.words) == 0 {
		return produced{commands: out.commands, known: true}
	}
	out.text, out.known = output(c, in)
	if out.known {
		s.spend(len(out.text))
		if in.known && in.text != out.text && readable([]byte(strings.TrimSpace(out.text))) && decoder(c) {
			s.decoded = append(s.decoded, hidden{c.name, out.text, c.line})
		}
	}
	if s.depth >= maxNested {
		s.lost = true
		return out
	}
	for _, inner := range s.wrapped(c) {
		p := s.dispatchInner(r, c, inner, in)
		out.commands = join(out.commands, p.commands)
	}
	for _, code := range codeIn(c) {
		out.commands = join(out.commands, s.code(r, c, code))
	}
	s.setters(r, c)
	if p, ok := s.callFunction(r, c, in); ok {
		out.commands = join(out.commands, p.commands)
		out.text, out.known = p.text, p.known
	}
	return out
}

// callFunction walks the body of one of the file's own functions with the arguments of the call, so that f() { "$@"; } is
// seen through, and what it prints is known to come from it.
func (s *scan) callFunction(r *resolver, c *command, in input) (produced, bool) {
	decl := s.decls[c.name]
	if decl == nil || s.inCall >= maxNested/2 || s.calls >= maxCalls || c.words[0] != c.name {
		return produced{}, false
	}
	s.calls++
	s.inCall++
	fn, variant := s.fn, r.variant
	saved := map[string]*binding{}
	for i := range 10 {
		name := strconv.Itoa(i)
		saved[name] = r.vars[name]
		delete(r.vars, name)
		if i > 0 && i < len(c.words) {
			r.vars[name] = &binding{values: [][]string{{c.words[i]}}, feeds: c.feeds}
		}
	}
	saved["@"], saved["*"] = r.vars["@"], r.vars["*"]
	all := &binding{values: [][]string{c.words[1:]}, feeds: c.feeds}
	r.vars["@"], r.vars["*"] = all, all
	s.fn, r.variant = c.name, 0
	p := s.stmt(r, decl.Body, in)
	s.fn, r.variant = fn, variant
	for name, b := range saved {
		if r.vars[name] = b; b == nil {
			delete(r.vars, name)
		}
	}
	s.inCall--
	return p, true
}

func (s *scan) dispatchInner(r *resolver, c *command, words []string, in input) produced {
	inner := &command{name: path.Base(words[0]), words: words, env: c.env, redirs: c.redirs, feeds: c.feeds, input: c.input, line: c.line, odd: c.odd}
	s.depth++
	defer func() { s.depth-- }()
	return s.dispatch(r, inner, in)
}

// wrapped gives the commands that a command runs as they stand in its arguments.
func (s *scan) wrapped(c *command) (out [][]string) {
	args := c.words[1:]
	switch {
	case c.name == "find" || c.name == "fd":
		for i, a := range args {
			if slices.Contains([]string{"-exec", "-execdir", "-ok", "-okdir", "-x", "-X", "--exec"}, a) && i+1 < len(args) {
				out = append(out, args[i+1:])
			}
		}
	case wrappers[c.name]:
		for i, a := range args {
			if strings.HasPrefix(a, "-") || strings.Contains(a, "=") || isNumber(a) {
				continue
			}
			out = append(out, args[i:])
			// an option may have taken that word as its value (sudo -u root curl): what follows counts as well
			if i > 0 && strings.HasPrefix(args[i-1], "-") && i+1 < len(args) || chrootLike(c.name) && i+1 < len(args) {
				out = append(out, args[i+1:])
			}
			break
		}
	}
	return out
}

func chrootLike(name string) bool {
	return name == "chroot" || name == "arch-chroot" || name == "flock" || name == "runuser"
}

// isNumber: a number, or a time such as 10s.
func isNumber(s string) bool {
	return s != "" && s[0] >= '0' && s[0] <= '9' && strings.Trim(s, "0123456789.smhd") == ""
}

// code is a piece of shell code inside a command.
type code struct {
	text string
	how  string
}

// codeIn gives the shell code that a command runs, and notes code of other languages.
func codeIn(c *command) (out []code) {
	args := c.words[1:]
	switch {
	case c.name == "eval":
		out = append(out, code{strings.Join(args, " "), "in an eval"})
	case shells[c.name] || c.name == "su" || c.name == "runuser":
		out = append(out, shellCode(c, args)...)
	case c.name == "source" || c.name == ".":
		if c.input != "" && len(args) > 0 && strings.HasPrefix(args[0], "/dev/") {
			out = append(out, code{c.input, "read by source"})
		}
	case c.name == "trap" && len(args) > 1:
		out = append(out, code{args[0], "in a trap"})
	case c.name == "alias":
		for _, a := range args {
			if _, body, ok := strings.Cut(a, "="); ok {
				out = append(out, code{body, "in an alias"})
			}
		}
	case c.name == "ssh" && len(args) > 1:
		out = append(out, code{strings.Join(args[1:], " "), "run through ssh"})
	case c.name == "at" || c.name == "batch":
		out = append(out, code{c.input, "given to " + c.name})
	case c.name == "script" || c.name == "watch" || c.name == "systemd-run" || c.name == "flock":
		if i := slices.Index(args, "-c"); i >= 0 && i+1 < len(args) {
			out = append(out, code{args[i+1], "given to " + c.name})
		}
	default:
		inlineCode(c, args)
	}
	for _, e := range c.env {
		if name, value, _ := strings.Cut(e, "="); name == "PROMPT_COMMAND" || name == "BASH_ENV" || name == "ENV" {
			out = append(out, code{value, "in " + name})
		}
	}
	return out
}

func shellCode(c *command, args []string) []code {
	for i, a := range args {
		if strings.HasPrefix(a, "-") && !strings.HasPrefix(a, "--") && strings.Contains(a, "c") && i+1 < len(args) {
			return []code{{args[i+1], "given to " + c.name + " -c"}}
		}
		if a == "--command" && i+1 < len(args) {
			return []code{{args[i+1], "given to " + c.name}}
		}
	}
	if c.input != "" {
		return []code{{c.input, "given to " + c.name + " on standard input"}}
	}
	return nil
}

func inlineCode(c *command, args []string) {
	option, ok := interpreters[c.name]
	if !ok {
		return
	}
	if option == "" {
		c.inline = strings.Join(args, "\n")
		return
	}
	for i, a := range args {
		if i+1 < len(args) && (a == option || strings.HasPrefix(a, "-") && !strings.HasPrefix(a, "--") && strings.HasSuffix(a, option[1:])) {
			c.inline = args[i+1]
			return
		}
		if rest, found := strings.CutPrefix(a, option); found && len(option) == 2 && rest != "" {
			c.inline = rest
			return
		}
	}
	c.inline = c.input
}

// code walks shell code that stands inside a command.
func (s *scan) code(r *resolver, c *command, piece code) []*command {
	text := strings.ReplaceAll(piece.text, unknown, "__unknown__")
	if strings.TrimSpace(strings.ReplaceAll(text, "__unknown__", "")) == "" || !s.spend(len(text)*4) {
		return nil
	}
	file, err := pkgbuild.Parse(s.file, []byte(text))
	if err != nil {
		s.lost = true
		return nil
	}
	line, how, from := s.line, s.how, len(s.commands)
	s.line, s.how = c.line, piece.how
	if how != "" {
		s.how = how + ", " + piece.how
	}
	if len(s.how) > 200 {
		s.how = s.how[:200]
	}
	s.depth++
	s.stmts(r, file.Tree().Stmts, input{})
	s.depth--
	s.line, s.how = line, how
	return s.commands[min(from, len(s.commands)):]
}

// setters binds what read, printf -v and mapfile assign.
func (s *scan) setters(r *resolver, c *command) {
	args := c.words[1:]
	switch c.name {
	case "printf":
		if len(args) > 2 && args[0] == "-v" {
			text, ok := printf(args[2:])
			if !ok {
				text = unknown
			}
			r.bind(args[1], []string{text}, false, c.feeds)
		}
	case "read", "mapfile", "readarray":
		if len(args) == 0 || strings.HasPrefix(args[len(args)-1], "-") {
			return
		}
		value := unknown
		if c.input != "" {
			value = strings.TrimRight(c.input, "\n")
		}
		values := []string{value}
		if c.name != "read" || slices.Contains(args, "-a") || slices.Contains(args, "-ra") {
			values = strings.Fields(value)
		}
		r.bind(args[len(args)-1], values, false, c.feeds)
	}
}

// decoder says whether a command turns unreadable text into readable text.
func decoder(c *command) bool {
	switch c.name {
	case "base64", "base32", "basenc", "xxd", "rev", "tr", "openssl", "uudecode", "printf", "sed", "gzip", "gunzip", "zcat", "xz", "unxz", "zstd", "bzip2", "od", "hexdump":
		return true
	}
	return false
}

// output gives the standard output of the few programs that people use to write code so that it cannot be read.
func output(c *command, in input) (string, bool) {
	args := c.words[1:]
	switch c.name {
	case "echo":
		return echo(args), !strings.Contains(strings.Join(args, ""), unknown)
	case "printf":
		if len(args) > 0 && args[0] == "-v" {
			return "", true
		}
		text, ok := printf(args)
		return text, ok && !strings.Contains(text, unknown)
	case "which", "type", "whereis":
		if len(args) > 0 {
			return args[len(args)-1] + "\n", true
		}
	case "command":
		if len(args) == 2 && (args[0] == "-v" || args[0] == "-V") {
			return args[1] + "\n", true
		}
	case ":", "true", "set", "shopt", "cd", "local", "unset":
		return "", true
	}
	if !in.known {
		return "", false
	}
	return filter(c, in.text)
}

func echo(args []string) string {
	end, escapes := "\n", false
	for len(args) > 0 && len(args[0]) > 1 && args[0][0] == '-' && strings.Trim(args[0][1:], "neE") == "" {
		if strings.Contains(args[0], "n") {
			end = ""
		}
		escapes = escapes || strings.Contains(args[0], "e")
		args = args[1:]
	}
	text := strings.Join(args, " ")
	if escapes {
		text = ansiC(text)
	}
	return text + end
}

// filter gives the output of a program that only reads standard input.
func filter(c *command, text string) (string, bool) {
	args := c.words[1:]
	has := func(list ...string) bool {
		return slices.ContainsFunc(args, func(a string) bool { return slices.Contains(list, a) })
	}
	var b []byte
	ok := false
	switch {
	case c.name == "cat" && (len(args) == 0 || args[0] == "-"), c.name == "tee":
		return text, true
	case (c.name == "base64" || c.name == "basenc") && has("-d", "-D", "-di", "-id", "--decode"), c.name == "openssl" && has("base64", "enc") && has("-d"):
		b, ok = decodeBase64(text)
	case c.name == "base32" && has("-d", "--decode"):
		b, ok = decodeBase32(text)
	case c.name == "xxd" && slices.ContainsFunc(args, func(a string) bool { return strings.HasPrefix(a, "-") && strings.Contains(a, "r") }):
		b, ok = decodeHex(text)
	case c.name == "rev":
		lines := strings.Split(strings.TrimRight(text, "\n"), "\n")
		for i := range lines {
			lines[i] = reverse(lines[i])
		}
		return strings.Join(lines, "\n") + "\n", true
	case c.name == "tr" && len(args) == 2 && args[0] == "-d":
		return strings.Map(func(r rune) rune {
			if r < 0x80 && slices.Contains(trSet(args[1]), byte(r)) {
				return -1
			}
			return r
		}, text), true
	case c.name == "tr" && len(args) == 2:
		return translate(text, args[0], args[1]), true
	}
	return string(b), ok
}
