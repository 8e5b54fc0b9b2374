package review

import (
	"path"
	"regexp"
	"slices"
	"strings"
)

func placeRules() []Rule {
	return []Rule{
		{ID: "write-outside", Kind: "files", Severity: Warning, Title: "Code writes outside of $srcdir and $pkgdir",
			Why:   "A build has no business in the home directory or in the system of the machine that it runs on.",
			match: writesOutside},
		{ID: "destroy", Kind: "files", Severity: Critical, Title: "Code deletes or overwrites what is not its own",
			Why:   "rm -rf of a home directory, of / or of a variable that may be empty; dd and mkfs on a device.",
			match: destroys},
		{ID: "preload", Kind: "persistence", Severity: Critical, Title: "A library is loaded into every program",
			Why:     "/etc/ld.so.preload is how rootkits hide.",
			needles: []string{"ld.so.preload", "ld_preload"}, pattern: regexp.MustCompile(`(?i)ld\.so\.preload|/etc/environment\b.*LD_PRELOAD`), codeOnly: true},
		{ID: "login-files", prose: true, Kind: "persistence", Severity: Critical, Title: "Files that run at every login are touched",
			Why:   "Start-up files of shells, PAM, sudoers and authorized_keys give lasting access.",
			match: wordRule([]string{"rc", "profile", "xinit", "xsession", "authorized_keys", "sudoers", "pam.d", "/etc/passwd", "/etc/shadow", "shells"}, `(?:^|/)\.(?:bashrc|bash_profile|bash_login|bash_logout|profile|zshrc|zprofile|zshenv|xinitrc|xprofile|xsession)\b|\.config/fish/|authorized_keys|/etc/sudoers\b|/etc/pam\.d/|^/etc/(?:passwd|shadow|profile|bash\.bashrc|zsh/)|^/etc/profile\.d/`)},
		{ID: "persistence", Kind: "persistence", Severity: Warning, Title: "Something is installed that runs by itself",
			Why:   "Units, timers, cron, profile.d, autostart, udev rules, pacman and initramfs hooks are legitimate in packages, and the way malware stays.",
			match: wordRule([]string{"systemd", "cron", "profile.d", "autostart", "udev", "libalpm", "pacman.d", "initcpio", "dracut", "modules-load", "binfmt", "dbus", "init.d", "X11", ".service", ".timer"}, `(?:systemd/(?:system|user)\b|/cron\.(?:d|daily|hourly|weekly|monthly)|/crontab|/var/spool/cron|profile\.d/|autostart/|udev/rules\.d|libalpm/hooks|pacman\.d/hooks|initcpio/(?:hooks|install|post)|dracut/|modules-load\.d|binfmt\.d|init\.d/|xinit/xinitrc\.d|X11/Xsession|[\w@-]+\.(?:service|timer)$)`)},
		{ID: "service-started", Kind: "persistence", Severity: Warning, Exposed: Critical, Title: "A service is enabled or started, or a job is scheduled",
			Why: "In Arch Linux people enable services themselves. A package that does it runs code nobody asked for.",
			match: func(c *command) (string, bool) {
				hit := c.in("systemctl") && c.has("enable", "start", "restart", "reenable", "unmask", "link", "preset", "--now") ||
					c.in("crontab") && !c.has("-l") || c.in("at", "batch", "loginctl") && (c.name != "loginctl" || c.has("enable-linger")) || c.in("rc-update", "chkconfig", "launchctl")
				return c.name + " " + strings.Join(c.plainArgs(), " "), hit
			}},
		{ID: "credentials", prose: true, Kind: "credentials", Severity: Critical, Title: "Code touches keys, passwords, tokens or browser profiles",
			Why:   "Nothing that builds or installs a package needs them.",
			match: credentials},
		{ID: "setuid", Kind: "privileges", Severity: Warning, Exposed: Critical, Title: "A program gets more rights than its user: setuid, setgid or capabilities",
			Why:   "A hole in such a program is a hole in the system.",
			match: setuid},
		{ID: "root", Kind: "privileges", Severity: Critical, Title: "Code asks for root",
			Why: "makepkg never runs as root, and a build that calls sudo leaves its container or fails. Install scripts are root already.",
			match: func(c *command) (string, bool) {
				return c.name, c.in("sudo", "doas", "pkexec", "su", "runuser", "gosu", "su-exec") && len(c.words) > 1
			}},
	}
}

// own says whether a path lies where a build may write.
func own(p string) bool {
	switch {
	case p == "", p == "-", strings.HasPrefix(p, "&"), strings.HasPrefix(p, "$srcdir"), strings.HasPrefix(p, "$pkgdir"), strings.HasPrefix(p, "$startdir"):
		return !strings.Contains(p, "/../")
	case strings.HasPrefix(p, "/dev/"):
		return p == "/dev/null" || p == "/dev/stderr" || p == "/dev/stdout" || p == "/dev/tty" || strings.HasPrefix(p, "/dev/fd/")
	case strings.HasPrefix(p, "/"), strings.HasPrefix(p, "~"), strings.HasPrefix(p, "$HOME"), strings.HasPrefix(p, "$XDG_CONFIG_HOME"):
		return false
	}
	return !strings.HasPrefix(p, "../../..")
}

// writesTo lists the paths that a command changes.
func writesTo(c *command) (out []string) {
	for _, r := range c.redirs {
		if strings.HasPrefix(r.op, ">") || r.op == "&>" || r.op == "&>>" || r.op == "<>" {
			out = append(out, r.target)
		}
	}
	args := c.plainArgs()
	if len(args) == 0 {
		return out
	}
	switch c.name {
	case "cp", "mv", "ln", "install", "rsync", "scp":
		if i := slices.Index(c.words, "-t"); i >= 0 && i+1 < len(c.words) {
			return append(out, c.words[i+1])
		}
		if c.name == "install" && c.has("-d", "-dm755", "-dm0755", "--directory") || c.name == "install" && slices.ContainsFunc(c.words, func(w string) bool { return strings.HasPrefix(w, "-d") }) {
			return append(out, directories(args)...)
		}
		out = append(out, args[len(args)-1])
	case "mkdir", "touch", "rm", "rmdir", "shred", "truncate", "tee", "unlink", "chattr":
		out = append(out, args...)
	case "chmod", "chown", "chgrp", "setfacl", "setcap":
		out = append(out, args[1:]...)
	case "sed", "perl":
		if slices.ContainsFunc(c.words, func(w string) bool {
			return strings.HasPrefix(w, "-i") || w == "--in-place" || strings.HasPrefix(w, "-pi")
		}) {
			out = append(out, editedFiles(c)...)
		}
	case "dd":
		for _, a := range args {
			if target, ok := strings.CutPrefix(a, "of="); ok {
				out = append(out, target)
			}
		}
	}
	return out
}

// editedFiles are the files that sed -i and perl -i edit: what is neither an option nor the script.
func editedFiles(c *command) (out []string) {
	script := false // given as the value of an option
	for i, w := range c.words[1:] {
		before := c.words[i]
		switch {
		case before == "-e" || before == "-f" || before == "--expression" || i > 0 && strings.HasPrefix(before, "-") && !strings.HasPrefix(before, "--") && strings.HasSuffix(before, "e"):
			script = true
		case strings.HasPrefix(w, "--expression="):
			script = true
		case !strings.HasPrefix(w, "-"):
			out = append(out, w)
		}
	}
	if !script && len(out) > 0 {
		out = out[1:]
	}
	return out
}

// directories leaves out what is the value of an option.
func directories(args []string) (out []string) {
	for _, a := range args {
		if strings.ContainsAny(a, "/~$") {
			out = append(out, a)
		}
	}
	return out
}

func writesOutside(c *command) (string, bool) {
	if c.zone == inInstall || c.zone == inFile { // there it is the purpose
		return "", false
	}
	for _, p := range writesTo(c) {
		if !own(p) && !strings.Contains(p, unknown+"/") && !strings.HasPrefix(p, unknown) {
			return c.name + " " + p, true
		}
	}
	return "", false
}

func destroys(c *command) (string, bool) {
	switch {
	case c.in("rm", "shred", "unlink") || c.in("find") && c.has("-delete"):
		for _, p := range c.plainArgs() {
			clean := path.Clean(strings.TrimRight(strings.TrimSuffix(p, "*"), "/") + "/.")
			if p == "/" || p == "/*" || clean == "/" && p != "" && p[0] == '/' || strings.HasPrefix(p, "$HOME") || strings.HasPrefix(p, "~") && !strings.Contains(p, "/.cache/") || strings.HasPrefix(p, "/home") || slices.Contains([]string{"/etc", "/usr", "/var", "/boot", "/bin", "/lib", "/root", "/opt"}, clean) {
				return c.name + " " + p, true
			}
		}
	case strings.HasPrefix(c.name, "mkfs") || c.in("wipefs", "blkdiscard", "sgdisk", "fdisk"):
		return c.name, true
	}
	for _, p := range writesTo(c) {
		if strings.HasPrefix(p, "/dev/sd") || strings.HasPrefix(p, "/dev/nvme") || strings.HasPrefix(p, "/dev/vd") || strings.HasPrefix(p, "/dev/mapper") || strings.HasPrefix(p, "/dev/mem") {
			return c.name + " " + p, true
		}
	}
	return "", false
}

var secretPlaces = lazily(`(?:^|[/~$ "'={}])(?:\.ssh(?:/|$)|\.gnupg(?:/|$)|\.aws/|\.kube/|\.docker/config|\.netrc\b|\.npmrc\b|\.pypirc\b|\.git-credentials\b|\.config/(?:gh/|google-chrome|chromium|BraveSoftware|discord|gcloud|rclone)|\.mozilla(?:/|$)|\.thunderbird|\.password-store|\.local/share/(?:keyrings|kwalletd)|\.electrum|\.bitcoin|\.ethereum|\.config/solana|\.(?:bash|zsh)_history|id_rsa\b|id_ed25519\b|wallet\.dat)|^/etc/(?:shadow|gshadow)\b|/proc/(?:\d+|self|\*|\$[A-Za-z]+)/(?:environ|mem)\b|/var/run/docker\.sock|/run/docker\.sock|^/root/\.|Login Data$|cookies\.sqlite|logins\.json|key4\.db`)

// mayBeSecret spares most words the expression.
func mayBeSecret(w string) bool {
	if len(w) < 5 || strings.IndexByte(w, '.') < 0 && strings.IndexByte(w, '_') < 0 && strings.IndexByte(w, '/') < 0 && strings.IndexByte(w, ' ') < 0 {
		return false
	}
	for _, part := range secretParts {
		if strings.Contains(w, part) {
			return true
		}
	}
	return false
}

var secretParts = strings.Fields(`.ssh .gnupg .aws .kube .docker .netrc .npmrc .pypirc .git-cred .config/ .mozilla .thunderbird .password .local/share .electrum .bitcoin .ethereum _history id_rsa id_ed wallet.dat
	shadow /proc/ docker.sock /root/. Data cookies.sqlite logins.json key4.db`)

var secretNames = lazily(`^\$?(?:ACCESS_TOKEN|AUR_KEY|GITHUB_TOKEN|GH_TOKEN|GITLAB_TOKEN|CI_JOB_TOKEN|REDIS_PASSWORD|AWS_SECRET_ACCESS_KEY|NPM_TOKEN|SSH_AUTH_SOCK|GPG_AGENT_INFO)$`)

func credentials(c *command) (string, bool) {
	for _, w := range c.all() {
		if mayBeSecret(w) {
			if m := secretPlaces().FindString(w); m != "" && !ownPlace(w) {
				return m, true
			}
		}
	}
	if c.in("printenv", "env", "export", "declare", "echo", "printf") {
		for _, w := range c.words {
			if secretNames().MatchString(w) {
				return w, true
			}
		}
	}
	return "", c.in("security", "secret-tool", "keyctl", "pass") && len(c.words) > 1 && c.zone != inFile && c.name != "pass"
}

func ownPlace(w string) bool {
	return strings.HasPrefix(w, "$srcdir") || strings.HasPrefix(w, "$pkgdir")
}

func setuid(c *command) (string, bool) {
	target := ""
	if args := c.plainArgs(); len(args) > 0 {
		target = path.Base(args[len(args)-1])
	}
	switch c.name {
	case "chmod":
		for _, w := range c.words[1:] {
			if special(w) {
				return "chmod " + target, true
			}
		}
	case "install":
		for i, w := range c.words {
			mode := ""
			switch {
			case w == "-m" && i+1 < len(c.words):
				mode = c.words[i+1]
			case strings.HasPrefix(w, "--mode="):
				mode = w[7:]
			case strings.HasPrefix(w, "-") && !strings.HasPrefix(w, "--") && strings.Contains(w, "m"):
				mode = w[strings.IndexByte(w, 'm')+1:]
			}
			if special(mode) {
				return "install " + target, true
			}
		}
	case "setcap":
		return "setcap " + target, !c.has("-r")
	}
	return "", false
}

// special says whether a mode sets the bits for setuid or setgid.
func special(mode string) bool {
	if n := strings.TrimLeft(mode, "0"); len(n) == 4 && strings.Trim(n, "01234567") == "" {
		return n[0] != '1'
	}
	who, what, ok := strings.Cut(mode, "+")
	if !ok {
		who, what, ok = strings.Cut(mode, "=")
	}
	return ok && strings.Trim(who, "ugoa") == "" && strings.Contains(what, "s") && strings.Trim(what, "rwxXst,ugoa+-=") == ""
}
