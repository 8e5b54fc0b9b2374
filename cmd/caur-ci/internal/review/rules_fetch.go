package review

import (
	"regexp"
	"slices"
	"strings"
)

// fetches says whether a command brings something from the network, or sends something there.
func fetches(c *command) bool {
	c.classify()
	return c.fetch
}

// decodes says whether a command makes text readable, or data into code.
func decodes(c *command) bool {
	c.classify()
	return c.decode
}

// classify answers both once; it is asked again and again.
func (c *command) classify() {
	if !c.classified {
		c.classified, c.fetch, c.decode = true, fetchTool(c), decodeTool(c)
	}
}

func fetchTool(c *command) bool {
	switch c.name {
	case "curl", "wget", "wget2", "aria2c", "axel", "lynx", "w3m", "links", "elinks", "http", "https", "xh", "fetch", "ftp", "lftp", "tftp", "sftp", "scp",
		"nc", "ncat", "netcat", "socat", "telnet", "curlie", "gdown", "yt-dlp", "megadl", "rclone", "aws", "gsutil", "ipfs", "oras", "skopeo", "torsocks", "saldl", "snarf", "hurl":
		return true
	case "rsync":
		return strings.Contains(strings.Join(c.words, " "), ":")
	case "git":
		return c.has("clone", "fetch", "pull", "submodule", "ls-remote", "remote", "lfs")
	case "svn", "hg", "bzr", "fossil", "cvs":
		return c.has("checkout", "co", "clone", "export", "pull", "update", "branch")
	case "gh", "glab":
		return c.has("release", "repo", "api", "gist")
	case "openssl":
		return c.has("s_client")
	case "dig", "nslookup", "host", "drill", "resolvectl":
		return true
	}
	return c.inline != "" && networkCode().MatchString(c.inline)
}

// networkCode recognises network use in code of other languages.
var networkCode = lazily(`\burllib|\brequests\.(?:get|post)|\bhttp\.client|\bsocket\b|IO::Socket|LWP::|HTTP::Tiny|Net::HTTP|open-uri|\bfetch\(|require\(.https?.\)|axios|file_get_contents\(.https?:|fsockopen|/inet/tcp/|https?://`)

func decodeTool(c *command) bool {
	switch c.name {
	case "base64", "base32", "basenc", "xxd", "uudecode", "rev":
		return true
	case "openssl":
		return c.has("enc", "base64", "-d", "aes-256-cbc")
	case "gpg", "gpg2":
		return c.has("-d", "--decrypt")
	case "printf", "echo":
		return strings.ContainsAny(strings.Join(c.words, ""), "\x07\x1b") || encodedEscapes().MatchString(strings.Join(c.words, " "))
	case "tr":
		return len(c.words) > 2 && !c.has("-d", "-s") && rotation().MatchString(strings.Join(c.words, " "))
	case "gunzip", "zcat", "unxz", "xzcat", "bzcat", "zstdcat", "unzstd":
		return true
	case "gzip", "xz", "bzip2", "zstd", "lzma":
		return c.has("-d", "-dc", "-cd", "--decompress", "-dk")
	case "dd":
		return c.has("skip=") || strings.Contains(strings.Join(c.words, " "), "skip=")
	}
	return c.inline != "" && decodeCode().MatchString(c.inline)
}

var (
	encodedEscapes = lazily(`(?:\\x[0-9a-fA-F]{2}|\\[0-7]{3}){3}`)
	rotation       = lazily(`(?i)a-z.*n-za-m|[a-m]-z|[!-~]-~`)
	decodeCode     = lazily(`b64decode|fromhex|base64|unhexlify|codecs\.decode|zlib\.|marshal|\batob\(|Buffer\.from|pack\(|decode_base64|chr\(\d+\)`)
)

// runsInput says whether a command executes what it reads.
func runsInput(c *command) bool {
	switch {
	case shells[c.name] || c.name == "source" || c.name == "." || c.name == "eval" || c.name == "at" || c.name == "batch":
		return true
	case interpreters[c.name] != "":
		args := c.plainArgs()
		return c.inline == "" && (len(args) == 0 || strings.HasPrefix(args[0], "/dev/")) || c.has("-")
	case c.name == "xargs":
		return slices.ContainsFunc(c.words, func(w string) bool { return shells[w] })
	}
	return false
}

// managers of packages, with the words that make them install or run something.
var managers = map[string][]string{
	"npm": {"install", "i", "ci", "add", "exec", "x", "init", "create", "update", "up", "run-script"}, "bun": {"install", "i", "add", "x", "create", "update"},
	"pnpm": {"install", "i", "add", "dlx", "create", "update"}, "yarn": {"", "install", "add", "dlx", "create", "global", "up", "upgrade"},
	"pip": {"install", "download", "wheel"}, "pipx": {"install", "run", "inject"}, "uv": {"pip", "sync", "run", "add", "tool", "install"},
	"poetry": {"install", "add", "update"}, "pdm": {"install", "add", "sync"}, "hatch": {"run", "env"}, "conda": {"install", "create", "env"}, "mamba": {"install", "create"},
	"cargo": {"install", "binstall", "add", "fetch", "update"}, "go": {"install", "get", "run", "mod", "generate"},
	"gem": {"install", "update", "fetch"}, "bundle": {"install", "update", ""}, "bundler": {"install", ""}, "composer": {"install", "require", "update", "create-project", "global"},
	"luarocks": {"install", "download"}, "cpan": {"", "install"}, "cpanm": {"", "install"}, "nix": {"run", "build", "develop", "shell", "profile"}, "nix-env": {""}, "nix-shell": {""},
	"dotnet": {"restore", "tool", "add"}, "nuget": {"install", "restore"}, "mvn": {""}, "gradle": {""}, "gradlew": {""}, "sbt": {""}, "mix": {"deps.get", "archive.install", "local.hex"},
	"cabal": {"update", "install", "get"}, "stack": {"install", "setup", "build"}, "opam": {"install", "init", "update"}, "dub": {"fetch", "run", "build"}, "nimble": {"install"},
	"pacman": {"-S", "-Sy", "-Syu", "-U", "-Su"}, "yay": {""}, "paru": {""}, "pikaur": {""}, "makepkg": {""}, "apt": {"install"}, "apt-get": {"install"}, "dnf": {"install"},
	"brew": {"install"}, "flatpak": {"install", "remote-add"}, "snap": {"install"}, "docker": {"run", "pull", "build"}, "podman": {"run", "pull", "build"}, "vcpkg": {"install"},
	"conan": {"install"}, "deno": {"install", "run", "cache"}, "rustup": {"install", "toolchain", "update", "default"}, "nvm": {"install", "use"}, "corepack": {"enable", "prepare", "install"},
	"electron-builder": {""}, "code": {"--install-extension"}, "jpm": {"install", "deps"}, "zig": {"fetch"}, "helm": {"pull", "install"},
}

// runners fetch a package and run it at once.
var runners = []string{"npx", "bunx", "pnpx", "uvx", "pipx", "dlx", "npm-exec"}

// manager recognises a package manager at work; named are the packages that it is told to fetch by name.
func manager(c *command) (tool, verb string, named []string, ok bool) {
	words := c.words
	if c.inline == "" && (c.name == "python" || c.name == "ruby" || c.name == "perl") && len(words) > 2 && words[1] == "-m" {
		words = words[2:]
		if words[0] == "build" || words[0] == "installer" || words[0] == "venv" {
			return "", "", nil, false
		}
	}
	if len(words) == 0 {
		return "", "", nil, false
	}
	tool = plainName(words[0][strings.LastIndexByte(words[0], '/')+1:])
	if slices.Contains(runners, tool) {
		return tool, "", packagesIn(words[1:]), true
	}
	verbs := managers[tool]
	if verbs == nil {
		return "", "", nil, false
	}
	args := words[1:]
	for len(args) > 0 && strings.HasPrefix(args[0], "-") && !slices.Contains(verbs, args[0]) {
		if (args[0] == "--prefix" || args[0] == "--cwd" || args[0] == "-C" || args[0] == "--dir") && len(args) > 1 {
			args = args[1:]
		}
		args = args[1:]
	}
	if len(args) > 0 {
		verb = args[0]
	}
	switch {
	case slices.Contains(verbs, verb):
	case slices.Contains(verbs, "") && (verb == "" || len(verbs) == 1):
	default:
		return "", "", nil, false
	}
	if tool == "go" && verb == "mod" && !c.has("download", "tidy", "vendor") {
		return "", "", nil, false
	}
	if len(args) > 0 {
		args = args[1:]
	}
	return tool, verb, packagesIn(args), true
}

// packagesIn leaves out options, paths and files: what remains is fetched by its name.
func packagesIn(args []string) (out []string) {
	for i, a := range args {
		value := i > 0 && strings.HasPrefix(args[i-1], "-") && takesValue(args[i-1])
		local := strings.ContainsAny(a, "$*"+unknown) && !strings.ContainsAny(a, "@:") || strings.HasPrefix(a, ".") || strings.HasPrefix(a, "/") ||
			strings.HasSuffix(a, ".whl") || strings.HasSuffix(a, ".tgz") || strings.HasSuffix(a, ".gem") || strings.HasSuffix(a, ".txt") || strings.HasSuffix(a, ".tar.gz")
		if a != "" && !strings.HasPrefix(a, "-") && !value && !local {
			out = append(out, a)
		}
	}
	return out
}

func takesValue(option string) bool {
	switch option {
	case "-r", "--requirement", "-c", "--prefix", "--root", "--target", "-t", "-d", "--dest", "--cache", "--registry", "--find-links", "-f", "--path", "--features", "-j", "--ldflags",
		"-ldflags", "-tags", "-o", "-n", "--install-dir", "--bindir", "-i", "--index-url", "--extra-index-url", "--userconfig", "--user-agent", "--build-root", "-w", "--wheel-dir", "--cwd",
		"-C", "--dir", "--omit", "--include", "--network-timeout", "--cache-folder", "--mutex", "-gcflags", "-mod", "-modcacherw", "--profile", "--target-dir", "--bin", "--manifest-path", "--cpu", "--os", "--arch", "--loglevel":
		return true
	}
	return false
}

func fetchRules() []Rule {
	return []Rule{
		{ID: "download-run", Kind: "network", Severity: Critical, Title: "Something is downloaded and run at once",
			Why:   "`curl … | sh` and its many forms run code that nobody has seen, and that may be another tomorrow. A source with a checksum is the same for everybody.",
			match: downloadRun},
		{ID: "download", Kind: "network", Severity: Warning, Exposed: Critical, Title: "Code uses the network outside of source=",
			Why: "What is not in source= has no checksum and does not show in the .SRCINFO. In an install script it happens on every machine.",
			match: func(c *command) (string, bool) {
				if !fetches(c) {
					return "", false
				}
				return c.name + " " + hostOf(append(c.words, c.inline)), true
			}},
		{ID: "package-manager", Kind: "network", Severity: Warning, Exposed: Critical, Title: "A package manager fetches code",
			Why: "npm, pip, cargo and the like fetch code without the checksums of the PKGBUILD and run parts of it. Malware has come into the AUR this way.",
			match: func(c *command) (string, bool) {
				tool, verb, _, ok := manager(c)
				return tool + " " + verb, ok
			}},
		{ID: "package-by-name", Kind: "network", Severity: Critical, Title: "A package is fetched from a registry by its name",
			Why: "A name is all it takes to run somebody's code: the registry gives what is newest there. The wave of hijacked AUR packages did `npm install NAME`.",
			match: func(c *command) (string, bool) {
				tool, verb, named, ok := manager(c) // update NAME takes a newer version of what is there
				return tool + " " + strings.Join(named, " "), ok && len(named) > 0 && registries[tool] && !(verb == "update" && (tool == "cargo" || tool == "pnpm" || tool == "npm")) || ok && tool == "go" && remoteGo(named)
			}},
		{ID: "reverse-shell", prose: true, Kind: "network", Severity: Critical, Title: "A connection is opened that can give others a shell",
			Why:   "/dev/tcp, nc -e, socat exec: and sockets in one-line scripts have no use in packaging.",
			match: reverseShell},
		{ID: "tls-off", Kind: "network", Severity: Warning, Title: "The certificate of a server is not checked",
			Why: "Anybody between here and the server can answer in its place.",
			match: func(c *command) (string, bool) {
				off := c.in("curl") && c.has("-k", "--insecure", "-sk", "-fsSLk", "-Lk", "-kL", "-ks") || c.has("--no-check-certificate", "--check-certificate=off", "--no-verify-ssl", "--trusted-host") ||
					slices.ContainsFunc(c.all(), func(w string) bool {
						return strings.HasPrefix(w, "GIT_SSL_NO_VERIFY=") || strings.HasPrefix(w, "NODE_TLS_REJECT_UNAUTHORIZED=0") || w == "http.sslVerify=false" || w == "strict-ssl=false"
					})
				return c.name, off
			}},
		{ID: "ip-address", Kind: "network", Severity: Warning, Exposed: Critical, Title: "A URL has an address of numbers in the place of a name",
			Why: "Projects have names; addresses are what attackers have.", needles: []string{"://"},
			pattern: regexp.MustCompile(`(?i)\b(?:https?|ftp|git|svn|rsync|tcp)://(?:[^/\s"'@]*@)?(?:\d{1,3}(?:\.\d{1,3}){3}|0x[0-9a-f]{6,8}|\d{8,10}|\[[0-9a-f:.]+\])(?::\d+)?(?:[/\s"']|$)`),
			accept: func(m string) bool {
				return !strings.Contains(m, "://127.") && !strings.Contains(m, "://0.0.0.0") && !strings.Contains(m, "://[::1]")
			}},
		{ID: "short-url", Kind: "network", Severity: Warning, Exposed: Critical, Title: "A URL goes to a shortener, a paste site or a place for throw-away files",
			Why:     "What it gives can be changed at any time, and nobody sees where it leads.",
			needles: strings.Fields("bit.ly/ tinyurl goo.gl t.co/ is.gd v.gd cutt.ly rb.gy ow.ly shorturl rebrand t.ly/ 0x0.st ptpb pastebin paste.ee paste.rs ix.io sprunge termbin hastebin dpaste ghostbin controlc rentry transfer.sh file.io anonfiles catbox temp.sh bashupload oshi.at x0.at segs.lol pixeldrain mediafire gist.github discordapp"),
			pattern: regexp.MustCompile(`(?i)\b(?:bit\.ly|tinyurl\.com|goo\.gl|t\.co|is\.gd|v\.gd|cutt\.ly|rb\.gy|ow\.ly|shorturl\.at|rebrand\.ly|t\.ly|0x0\.st|ptpb\.pw|pastebin\.com|paste\.ee|paste\.rs|ix\.io|sprunge\.us|termbin\.com|hastebin\.com|dpaste\.(?:com|org)|ghostbin\.\w+|controlc\.com|rentry\.co|transfer\.sh|file\.io|gofile\.io|anonfiles\.com|catbox\.moe|litter\.catbox\.moe|temp\.sh|bashupload\.com|oshi\.at|x0\.at|segs\.lol|pixeldrain\.com|mediafire\.com|gist\.githubusercontent\.com|cdn\.discordapp\.com)/`)},
		{ID: "callback", Kind: "network", Severity: Critical, Title: "Data is sent to a place for messages or tunnels",
			Why:     "Webhooks, bots, tunnels and hidden services are how stolen data leaves.",
			needles: []string{"webhook", "telegram", "ngrok", ".onion", "requestbin", "interact.sh", "oast", "burpcollaborator", "trycloudflare", "serveo", "pipedream", "beeceptor"},
			pattern: regexp.MustCompile(`(?i)(?:discord(?:app)?\.com/api/webhooks|api\.telegram\.org/bot|hooks\.slack\.com|webhook\.site|\bngrok\.|\b[a-z2-7]{16,56}\.onion\b|requestbin\.|interact\.sh|\.oast\.|burpcollaborator|trycloudflare\.com|serveo\.net|\.pipedream\.net|beeceptor\.com)`)},
		{ID: "upload", Kind: "network", Severity: Critical, Title: "Something is sent over the network",
			Why: "Building a package has nothing to send to anybody.",
			match: func(c *command) (string, bool) {
				sends := c.in("curl") && slices.ContainsFunc(c.words, func(w string) bool {
					return w == "-d" || w == "-F" || w == "-T" || strings.HasPrefix(w, "--data") || w == "--form" || w == "--upload-file" || w == "POST" || w == "PUT" || w == "-XPOST"
				}) || c.in("wget", "wget2") && slices.ContainsFunc(c.words, func(w string) bool { return strings.HasPrefix(w, "--post") || strings.HasPrefix(w, "--body") }) ||
					c.in("nc", "ncat", "netcat") && (len(c.feeds) > 0 || len(c.redirs) > 0)
				return c.name + " " + hostOf(c.words), sends
			}},
	}
}

// registries are tools that run what they fetch by a name.
var registries = func() map[string]bool {
	m := map[string]bool{}
	for _, tool := range strings.Fields("npm bun pnpm yarn npx bunx pnpx uvx pip pipx uv gem cargo luarocks cpan cpanm composer conda mamba yay paru pikaur pacman deno dlx nimble opam cabal poetry pdm brew snap flatpak code") {
		m[tool] = true
	}
	return m
}()

func remoteGo(named []string) bool {
	return slices.ContainsFunc(named, func(n string) bool { return strings.Contains(n, "@") && strings.Contains(n, ".") })
}

func downloadRun(c *command) (string, bool) {
	if !runsInput(c) {
		return "", false
	}
	for _, f := range c.feeds {
		if fetches(f) {
			return f.name + " " + hostOf(f.words) + " | " + c.name, true
		}
	}
	return "", false
}

var sockets = lazily(`(?s)socket.*(?:exec|spawn|system|dup2|subprocess|pty)|(?:exec|spawn|system|dup2|subprocess|pty).*socket|/inet/tcp/|IO::Socket|TCPSocket|fsockopen|net\.connect|child_process.*net\b`)

func reverseShell(c *command) (string, bool) {
	for _, w := range c.all() {
		if strings.Contains(w, "/dev/tcp/") || strings.Contains(w, "/dev/udp/") {
			return "/dev/tcp", true
		}
	}
	args := strings.Join(c.words, " ")
	switch {
	case c.in("nc", "ncat", "netcat") && (c.has("-e", "-c", "--exec", "--sh-exec") || strings.Contains(args, " -e")),
		c.in("socat") && strings.Contains(strings.ToLower(args), "exec:"), c.in("socat") && strings.Contains(strings.ToLower(args), "system:"),
		c.in("mkfifo") && strings.Contains(args, "/tmp/"), shells[c.name] && len(c.redirs) > 0 && c.has("-i"),
		c.in("ssh") && c.has("-R"), c.in("telnet") && len(c.feeds) > 0:
		return c.name, true
	case c.inline != "" && sockets().MatchString(c.inline):
		return c.name + " socket", true
	}
	return "", false
}
