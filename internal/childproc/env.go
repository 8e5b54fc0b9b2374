package childproc

import (
	"os"
	"strings"
)

// passed are the variables of our own environment that a child may need to find programs, time and the network. None of
// them is a secret of caur's.
var passed = [...]string{
	"PATH", "HOME", "TZ", "TMPDIR",
	"http_proxy", "https_proxy", "ftp_proxy", "all_proxy", "no_proxy",
	"HTTP_PROXY", "HTTPS_PROXY", "FTP_PROXY", "ALL_PROXY", "NO_PROXY",
	"SSL_CERT_FILE", "SSL_CERT_DIR",
}

// defaultPath serves where PATH is not set at all.
const defaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// MinimalEnv is an environment for a child: PATH, HOME, TZ, TMPDIR, the proxy and certificate variables as they are
// set for this process, LANG=C.UTF-8, and extra (NAME=VALUE), which replaces a variable of the same name.
func MinimalEnv(extra ...string) []string {
	env := []string{"LANG=C.UTF-8"}
	for _, name := range passed {
		if v, ok := os.LookupEnv(name); ok {
			env = append(env, name+"="+v)
		}
	}
	if _, ok := os.LookupEnv("PATH"); !ok {
		env = append(env, "PATH="+defaultPath)
	}
	for _, e := range extra {
		env = set(env, e)
	}
	return env
}

// set replaces the variable of the same name, or appends.
func set(env []string, entry string) []string {
	name, _, _ := strings.Cut(entry, "=")
	for i, old := range env {
		if n, _, _ := strings.Cut(old, "="); n == name {
			env[i] = entry
			return env
		}
	}
	return append(env, entry)
}
