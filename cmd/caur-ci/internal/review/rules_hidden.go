package review

import (
	"path"
	"regexp"
	"slices"
	"strings"
)

func hiddenRules() []Rule {
	return []Rule{
		{ID: "decode-run", Kind: "obfuscation", Severity: Critical, Title: "Text is decoded and run",
			Why:   "`base64 -d | sh`, eval of a decoded string and their kin exist to keep a reader from seeing what runs. What decodes to text is judged, too.",
			match: decodeRunRule},
		{ID: "decode", Kind: "obfuscation", Severity: Warning, Exposed: Critical, Title: "Text is decoded",
			Why: "Whoever has nothing to hide writes it plainly; data belongs in a source with a checksum.",
			match: func(c *command) (string, bool) {
				compressed := c.in("gunzip", "zcat", "unxz", "xzcat", "bzcat", "zstdcat", "unzstd", "gzip", "xz", "bzip2", "zstd", "lzma", "dd", "gpg", "gpg2")
				if c.in("printf", "echo") && plainEscapes(c) {
					return "", false
				}
				return c.name, decodes(c) && !compressed
			}},
		{ID: "hidden-text", Kind: "obfuscation", Severity: Warning, Title: "A string decodes to readable text",
			Why: "A long string of base64 or hexadecimal digits is text that the writer did not want to be read. It was decoded and judged."},
		{ID: "hidden-code", Kind: "obfuscation", Severity: Critical, Title: "A string decodes to code that does something dangerous",
			Why: "The decoded text, itself decoded again where need be, is judged by all rules; the worst that they find is named."},
		{ID: "eval", Kind: "obfuscation", Severity: Warning, Exposed: Critical, Title: "Code is put together and evaluated",
			Why: "What eval, source and sh -c run can be made of anything. What is static is judged as code; what is not stays unknown.",
			match: func(c *command) (string, bool) {
				args := strings.Join(c.words[min(1, len(c.words)):], " ")
				open := strings.Contains(args, unknown) || strings.Contains(args, "/dev/fd/")
				switch {
				case c.name == "eval":
					return "eval " + args, open
				case c.name == "source" || c.name == ".":
					return "source " + args, len(c.words) > 1 && (open && !strings.Contains(args, "/") || strings.Contains(args, "/dev/") || strings.Contains(args, "/tmp/"))
				case shells[c.name] && c.has("-c"):
					return c.name + " " + args, open
				}
				return "", false
			}},
		{ID: "eval-known", Kind: "obfuscation", Severity: Notice, Title: "Known code is evaluated",
			Why: "eval of text that is known without running anything. The text was judged as code.",
			match: func(c *command) (string, bool) {
				args := strings.Join(c.words[min(1, len(c.words)):], " ")
				return args, c.name == "eval" && args != "" && !strings.Contains(args, unknown)
			}},
		{ID: "unknown-command", Kind: "obfuscation", Severity: Warning, Exposed: Critical, Title: "A command's name is only known when it runs",
			Why: "A reader cannot say what `$x` does when x comes from a substitution.",
			match: func(c *command) (string, bool) {
				return c.fn + " " + c.name, c.name != "" && len(c.words) > 0 && strings.Contains(c.name, unknown)
			}},
		{ID: "odd-name", Kind: "obfuscation", Severity: Warning, Title: "A command's name is written in pieces",
			Why: "`c'u'rl`, `cu\\rl` and `$'\\x63url'` run curl, but no search finds them.",
			match: func(c *command) (string, bool) {
				return c.name, c.odd && !strings.Contains(c.name, unknown)
			}},
		{ID: "ifs", Kind: "obfuscation", Severity: Warning, Title: "Blanks are written as ${IFS}",
			Why: "It means a blank, and a reader does not see it.",
			match: func(c *command) (string, bool) {
				return c.name, c.ifs && !c.in("read")
			}},
		{ID: "shell-hook", Kind: "obfuscation", Severity: Warning, Exposed: Critical, Title: "A trap, an alias or an option changes what later commands do",
			Why: "What reads like one command runs another.",
			match: func(c *command) (string, bool) {
				switch {
				case c.name == "trap" && len(c.words) > 1 && c.words[1] != "-" && c.words[1] != "":
					return c.text(), true
				case c.name == "alias" && len(c.words) > 1, c.name == "enable" && len(c.words) > 1:
					return c.text(), true
				case c.name == "shopt" && c.has("expand_aliases"), c.name == "set" && c.has("-T", "-o") && c.has("functrace", "-T"):
					return c.name, true
				}
				return "", false
			}},
		{ID: "shadow", Kind: "obfuscation", Severity: Critical, Title: "A function has the name of a command or of a part of makepkg",
			Why: "Every later use of the name, makepkg's own included, runs the package's code: a PKGBUILD that defines install() or check_pgpsigs() turns checks off.",
			match: func(c *command) (string, bool) {
				if c.name != "()" || c.zone == inInstall || c.zone == inFile {
					return "", false
				}
				return c.words[1], shadowed[c.words[1]] || strings.HasPrefix(c.words[1], "verify_") || strings.HasPrefix(c.words[1], "check_pgp") ||
					strings.HasPrefix(c.words[1], "lint_") || strings.HasPrefix(c.words[1], "download_") || strings.HasPrefix(c.words[1], "extract_")
			}},
		{ID: "makepkg-setting", Kind: "obfuscation", Severity: Critical, Title: "A setting of makepkg or of the system's loader is changed",
			Why:   "DLAGENTS, PATH, LD_PRELOAD, BASH_ENV and their kin make other programs run other code.",
			match: makepkgSetting},
		{ID: "bidi", Kind: "obfuscation", Severity: Critical, Title: "Characters that turn the direction of text, or show nothing",
			Why: "What people read is not what the shell reads (\"trojan source\")."},
		{ID: "lookalike", Kind: "obfuscation", Severity: Warning, Title: "Letters of several alphabets in one word",
			Why: "A Cyrillic а looks like a Latin a: a host or a name can be another than it seems."},
		{ID: "control-characters", Kind: "obfuscation", Severity: Critical, Title: "Control characters that can hide text in a terminal",
			Why: "Escape sequences and carriage returns make a terminal show other text than there is."},
		{ID: "far-right", Kind: "obfuscation", Severity: Warning, Title: "Code stands far to the right, behind many blanks",
			Why: "Most viewers cut long lines off, and nobody scrolls.", needles: []string{"          "},
			pattern: regexp.MustCompile(`(?m)\S[ \t]{60,}[^\s#\\].*$`)},
		{ID: "long-line", Kind: "obfuscation", Severity: Warning, Title: "A line is longer than anybody reads",
			Why: "What stands at the end of thousands of characters is not looked at."},
		{ID: "inline-code", Kind: "obfuscation", Severity: Notice, Exposed: Warning, Title: "Code of another language stands inside a command",
			Why: "It is searched for words only, not understood.",
			match: func(c *command) (string, bool) {
				return c.name + " " + c.inline, c.inline != "" && !c.in("awk", "gawk", "mawk")
			}},
		{ID: "run-file", Kind: "obfuscation", Severity: Critical, Title: "A file is made or downloaded, and then run",
			Why: "Code that is written to a file first is code all the same."},
	}
}

func decodeRunRule(c *command) (string, bool) {
	if runsInput(c) || shells[c.name] && c.has("-c") || c.inline != "" && decodeCode().MatchString(c.inline) && execCode().MatchString(c.inline) {
		if c.inline != "" && decodeCode().MatchString(c.inline) {
			return c.name + " inline", true
		}
		for _, f := range c.feeds {
			if decodes(f) && !(f.in("gunzip", "zcat", "unxz", "xzcat", "bzcat", "zstdcat", "unzstd") && !shells[c.name] && c.name != "eval") {
				return f.name + " | " + c.name, true
			}
		}
	}
	// a command whose own name came out of a decoder: $(echo Y3VybA== | base64 -d)
	if len(c.feeds) > 0 && c.odd && len(c.words) > 0 {
		for _, f := range c.feeds {
			if decodes(f) {
				return f.name + " > name", true
			}
		}
	}
	return "", false
}

var execCode = lazily(`\bexec\b|\beval\b|\bsystem\b|subprocess|popen|child_process|spawn|Function\(|instance_eval`)

// plainEscapes: printf and echo with escapes of colours and line ends only.
func plainEscapes(c *command) bool {
	return !encodedEscapes().MatchString(strings.Join(c.words, " "))
}

var shadowed = func() map[string]bool {
	m := map[string]bool{}
	for _, name := range strings.Fields(`cd echo printf test install cp mv ln rm mkdir chmod chown cat sed awk grep find tar bsdtar make cmake meson ninja git curl wget sudo
		sh bash python gcc cc ld patch diff sort sha256sum sha512sum b2sum md5sum sha1sum gpg source eval exec command builtin export declare local set unset true false return exit
		msg msg2 plain warning error die ask gettext in_array source_safe run_function run_prepare run_build run_package run_pkgver run_check create_package create_srcpackage
		check_source_integrity check_checksums check_pgpsigs verify_integrity_sums get_filename get_url get_protocol get_filepath tidy_install write_pkginfo write_buildinfo print_all_package_names
		install_package remove_deps resolve_deps handle_deps check_deps pacman vercmp fakeroot strip trap touch stat tee xargs env which`) {
		m[name] = true
	}
	return m
}()

// settings that make other programs run other code, or take a guard away.
var makepkgSettings = func() map[string]bool {
	m := map[string]bool{}
	for _, name := range strings.Fields(`DLAGENTS VCSCLIENTS SRCDEST PKGDEST LOGDEST SRCPKGDEST BUILDDIR BUILDENV INTEGRITY_CHECK GPGKEY PACMAN PACMAN_AUTH SUDO MAKEPKG_CONF LIBRARY
		LD_PRELOAD LD_AUDIT LD_LIBRARY_PATH BASH_ENV ENV PROMPT_COMMAND PS4 GIT_SSH GIT_SSH_COMMAND GIT_EXEC_PATH GIT_CONFIG GIT_PROXY_COMMAND GNUPGHOME SKIPPGPCHECK SKIPCHECKSUMS
		PYTHONSTARTUP PERL5OPT NODE_OPTIONS RUBYOPT JAVA_TOOL_OPTIONS PATH PKGEXT STRIP_BINARIES pkgdir srcdir startdir`) {
		m[name] = true
	}
	return m
}()

func makepkgSetting(c *command) (string, bool) {
	for _, e := range c.env {
		name, value, _ := strings.Cut(e, "=")
		if !makepkgSettings[name] {
			continue
		}
		harmless := false
		switch name {
		case "PATH": // a directory of the build, or of another package
			first, _, _ := strings.Cut(value, ":")
			harmless = strings.HasPrefix(first, "$srcdir") || strings.HasPrefix(first, "/usr/") || strings.HasPrefix(first, "/opt/") || strings.HasPrefix(first, unknown) && !strings.HasPrefix(value, unknown+":/tmp")
		case "LD_LIBRARY_PATH", "NODE_OPTIONS", "ENV", "PKGEXT":
			harmless = !strings.Contains(value, "/tmp") && !strings.Contains(value, "--require") && c.zone != atTop
		case "LD_PRELOAD":
			harmless = value == ""
		}
		if !harmless {
			return name + "=" + value, true
		}
	}
	if c.in("git") && len(c.words) > 3 && c.words[1] == "config" && (c.has("--global", "--system") && !c.has("protocol.file.allow", "safe.directory") || strings.Contains(c.text(), "core.hooksPath") || strings.Contains(c.text(), "core.sshCommand")) {
		return "git config", true
	}
	return "", false
}

// ranFiles finds commands that run a file which code before them downloaded or wrote.
func ranFiles(commands []*command) (out []*command) {
	made := map[string]bool{}
	for _, c := range commands {
		if len(c.words) > 0 && len(made) > 0 {
			target := c.words[0]
			if (shells[c.name] || interpreters[c.name] != "" || c.name == "source" || c.name == ".") && len(c.plainArgs()) > 0 {
				target = c.plainArgs()[0]
			}
			if made[path.Base(target)] && (target != c.words[0] || strings.Contains(target, "/")) {
				out = append(out, c)
			}
		}
		for _, f := range makes(c) {
			if base := path.Base(f); base != "." && base != "/" && !strings.Contains(base, unknown) {
				made[base] = true
			}
		}
	}
	return out
}

// makes lists the files into which a command writes what came from the network, or out of a decoder.
func makes(c *command) (out []string) {
	foreign := fetches(c) || decodes(c) || slices.ContainsFunc(c.feeds, func(f *command) bool { return fetches(f) || decodes(f) })
	if !foreign {
		return nil
	}
	for _, r := range c.redirs {
		if strings.HasPrefix(r.op, ">") && !strings.HasPrefix(r.target, "&") && r.target != "/dev/null" {
			out = append(out, r.target)
		}
	}
	if c.name == "tee" {
		out = append(out, c.plainArgs()...)
	}
	for i, w := range c.words {
		switch {
		case (w == "-o" || w == "-O" || w == "--output" || w == "--output-document" || w == "-out") && i+1 < len(c.words) && !strings.HasPrefix(c.words[i+1], "-"):
			out = append(out, c.words[i+1])
		case strings.HasPrefix(w, "-") && !strings.HasPrefix(w, "--") && strings.HasSuffix(w, "o") && i+1 < len(c.words):
			out = append(out, c.words[i+1])
		case strings.HasPrefix(w, "--output="):
			out = append(out, strings.TrimPrefix(w, "--output="))
		case strings.Contains(w, "://") && fetches(c):
			out = append(out, path.Base(w))
		}
	}
	return out
}
