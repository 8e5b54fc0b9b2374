package review

import "strings"

func systemRules() []Rule {
	return []Rule{
		{ID: "background", Kind: "process", Severity: Warning, Exposed: Critical, Title: "Something keeps running in the background",
			Why: "A build or an install script that ends should leave nothing behind.",
			match: func(c *command) (string, bool) {
				return c.name, c.in("nohup", "setsid", "disown", "daemonize", "start-stop-daemon", "screen", "tmux", "coproc", "systemd-run") && (len(c.words) > 1 || c.name == "disown" || c.name == "coproc") || c.name == "&" && c.zone != inFile
			}},
		{ID: "kernel", Kind: "privileges", Severity: Warning, Exposed: Warning, Title: "The kernel is changed while it runs",
			Why: "Modules and kernel settings reach everything.",
			match: func(c *command) (string, bool) {
				return c.name, c.in("insmod", "modprobe", "kexec", "bpftool", "sysctl", "rmmod") && len(c.words) > 1
			}},
		{ID: "accounts", Kind: "privileges", Severity: Warning, Exposed: Warning, Title: "Accounts or groups are made or changed by commands",
			Why: "Packages declare accounts in sysusers.d; a command can also give rights to accounts that exist.",
			match: func(c *command) (string, bool) {
				return c.name + " " + strings.Join(c.plainArgs(), " "), c.in("useradd", "usermod", "groupadd", "groupmod", "passwd", "chpasswd", "gpasswd", "visudo", "adduser", "chage", "userdel") && len(c.words) > 1
			}},
		{ID: "trust-store", Kind: "privileges", Severity: Critical, Title: "The keys or certificates that the system trusts are changed",
			Why: "Whoever is in the key ring of pacman, or in the certificate store, can be anybody.",
			match: func(c *command) (string, bool) {
				hit := c.in("pacman-key") && c.has("--add", "-a", "--recv-keys", "-r", "--lsign-key", "--init", "--populate", "--import", "--import-trustdb") ||
					c.in("trust") && c.has("anchor") || c.in("update-ca-trust", "certutil", "keytool") && c.zone == inInstall
				return c.name, hit
			}},
		{ID: "pacman-conf", Kind: "privileges", Severity: Critical, Title: "The settings of pacman, of name resolution or of the firewall are changed",
			Why:   "A repository or a host entry that a package adds decides where everything else comes from.",
			match: systemConfig},
		{ID: "disguise", Kind: "process", Severity: Warning, Exposed: Critical, Title: "Traces are removed, or a process takes another name",
			Why: "Clearing the history, killing loggers or renaming a process has one purpose.",
			match: func(c *command) (string, bool) {
				hit := c.in("history") && c.has("-c", "-w") || c.in("unset") && c.has("HISTFILE") || c.in("exec") && c.has("-a") || c.in("chattr") && c.has("+i") || c.in("auditctl", "setenforce", "aa-teardown") ||
					c.in("export") && strings.Contains(strings.Join(c.env, " "), "HISTFILE=") || c.in("touch") && c.has("-r", "-t") && c.zone == inInstall
				return c.name, hit
			}},
		{ID: "miner", prose: true, Kind: "process", Severity: Critical, Title: "A program that mines coins is mentioned in code",
			Why: "The most common payload of hijacked packages.",
			match: func(c *command) (string, bool) {
				for _, w := range c.words {
					low := strings.ToLower(w)
					if strings.Contains(low, "stratum+tcp") || strings.Contains(low, "stratum+ssl") || strings.Contains(low, "--donate-level") || strings.Contains(low, "minexmr") || strings.Contains(low, "nanopool") {
						return w, true
					}
				}
				return "", false
			}},
	}
}

func systemConfig(c *command) (string, bool) {
	for _, p := range writesTo(c) {
		for _, place := range []string{"/etc/pacman.conf", "/etc/pacman.d/", "/etc/makepkg.conf", "/etc/hosts", "/etc/resolv.conf", "/etc/nsswitch.conf", "/etc/ld.so.conf", "/etc/nftables", "/etc/iptables"} {
			if strings.HasPrefix(p, place) && !strings.HasPrefix(p, "/etc/pacman.d/hooks") {
				return p, true
			}
		}
	}
	return c.name, c.in("iptables", "nft", "ufw", "firewall-cmd") && c.zone == inInstall
}
