package failure

import "regexp"

// rule says what a line of a log means. Rules are asked in order; the first that matches a line counts.
type rule struct {
	class string
	in    string // the functions of the PKGBUILD in which it means that, space-separated; "" everywhere
	like  *regexp.Regexp
}

// early are the functions that run before check() and package(): what a compiler says while tests run or files are put
// into the package is part of that.
const early = "prepare pkgver build none"

// anywhereButTests: tests print errors of all kinds on purpose.
const anywhereButTests = early + " package"

func like(class, in, expression string) rule {
	return rule{class, in, regexp.MustCompile(expression)}
}

// causes win over all other rules: whatever they break, they are what must be mended. They are looked for in the last
// causeReach lines.
func causes() []rule {
	return []rule{
		like(Disk, "", `\bNo space left on device\b|\bENOSPC\b|\bDisk quota exceeded\b|\bEDQUOT\b|^error: not enough free disk space|^error: Partition .* too full`),
		like(Memory, "", `^\[caur: the build ran out of memory`),
		like(Disk, "", `^\[caur: .*(?:\bdisk\b|out of space)`),
		like(Memory, "", `fatal error: Killed signal terminated program`),
		like(Memory, "", `internal compiler error: Killed \(program `),
		like(Memory, "", `virtual memory exhausted|: out of memory allocating \d+ bytes|memory exhausted$|^LLVM ERROR: out of memory`),
		like(Memory, "", `(?:collect2|clang(?:\+\+)?|c\+\+|g\+\+|gcc|ld|rustc|lld)\S*: .*(?:terminated with|failed due to) signal 9\b|collect2: fatal error: ld terminated with signal 9`),
		like(Memory, "", `\(signal: 9, SIGKILL: kill\)|signal: killed$`),
		like(Memory, "", `\bstd::bad_alloc\b|^fatal error: runtime: out of memory|^runtime: out of memory|^MemoryError\b|JavaScript heap out of memory|java\.lang\.OutOfMemoryError|Cannot allocate memory|\bENOMEM\b|memory allocation of \d+ bytes failed`),
		like(Memory, "", `\bline \d+: +\d+ Killed\b|^make.*: \*\*\* \[.*\] Killed$|Out of memory: Killed process`),
	}
}

// rules are asked for the lines of a log, from its end.
func rules() []rule {
	return []rule{
		// What makepkg, pacman and we say ourselves.
		like(Patch, "", `interfere: .*interfere\.patch: does not apply`),
		like(PGP, "", `^==> ERROR: One or more PGP signatures could not be verified|\bFAILED \((?:unknown public key|the public key .* is not trusted|bad signature|expired)|^==> ERROR: The key .* does not exist in your keyring`),
		like(PGP, "", `invalid or corrupted (?:package|database) \(PGP signature\)|signature from ".*" is (?:unknown trust|marginal trust|invalid)|: key ".*" is (?:unknown|disabled)|missing required signature|required key missing from keyring`),
		like(PGP, "", `^gpg: (?:BAD signature|Can't check signature: No public key|keyserver receive failed)|is not signed|the git tag has been forged`),
		like(Checksum, "", `^==> ERROR: One or more files did not pass the validity check|\.\.\. FAILED$|^==> ERROR: Integrity checks|invalid or corrupted package \(checksum\)`),
		like(Checksum, anywhereButTests, `SECURITY ERROR$|verifying .*: checksum mismatch|checksum for .* (?:changed between lock files|was not what)|\bEINTEGRITY\b|THESE PACKAGES DO NOT MATCH THE HASHES|hash mismatch in fixed-output|Hash mismatch: expected`),
		like(Download, "", `^==> ERROR: Failure while (?:downloading|updating)|^error: failed (?:retrieving file|to synchronize all databases)|failed to retrieve some files|^error: failed to download|^error: failed to commit transaction \((?:failed to retrieve|download library)`),
		like(Dependency, "", `^error: target not found: |^==> ERROR: Could not resolve all dependencies|failed to install missing dependencies|unable to satisfy dependency|could not satisfy dependencies|are in conflict(?:\. Remove| \(|$)|unresolvable package conflicts|not installed, and there is no repository|conflicting (?:dependencies|files)|installing .* breaks dependency`),
		like(Dependency, "", `^==> ERROR: Cannot find the \S+ (?:binary|package)|exists in filesystem( \(owned by .*\))?$`),
		like(Package, "", `^==> ERROR: .*(?:was not found in the build directory and is not a URL|Unable to find source file|is not available for the '.*' architecture|Failed to source|Missing package|Extra package|pkgver\(\) generated an invalid version|Failed to create package file|Dotfile found in package root)`),
		like(Package, "", `^==> ERROR: (?:pkgname|pkgver|pkgrel|pkgbase|epoch|arch|backup|options|depends|optdepends|provides|install|changelog|\S+ file \(|\S+ is not allowed|\S+ should|\S+ contains|\S+ may only|\S+ must be)`),
		like(Package, "", `PKGBUILD: line \d+: (?:syntax error|unexpected EOF)`),
		like(Patch, "prepare none build", `^\d+ out of \d+ hunks? (?:FAILED|ignored)|^Hunk #\d+ FAILED|^patch: \*\*\*\* |^error: patch failed: |: patch does not apply$|^error: corrupt patch at|^patch unexpectedly ends|^Reversed \(or previously applied\) patch detected|^can't find file to patch at input line|^Patch failed at \d+|^error: could not apply [0-9a-f]{7,}`),
		like(Download, anywhereButTests, `^curl: \((?:5|6|7|16|18|22|23|28|35|47|52|55|56|60|92)\) `),
		like(Download, anywhereButTests, `(?i)^fatal: (?:unable to access|unable to connect to|could not read from remote repository|repository .* not found|the remote end hung up|early EOF|fetch-pack|couldn't find remote ref)|^error: RPC failed; |^wget: |^(?:fatal|error): .*(?:Could not resolve host|Connection (?:timed out|refused|reset by peer))|^ssh: .*(?:Could not resolve hostname|Connection (?:timed out|refused))`),
		like(Download, anywhereButTests, `(?i)could not resolve (?:host|proxy)|temporary failure in name resolution|name or service not known|network is unreachable|connection (?:timed out|reset by peer|refused)$|no route to host|TLS handshake timeout|i/o timeout$|\bdial tcp\b`),
		like(Download, anywhereButTests, `^\s*(?:failed to (?:download|fetch|get) .*|spurious network error.*)$|failed to download from .https?://|download of .* failed|unable to update registry|\[\d+\] (?:Could not resolve hostname|Timeout was reached|Couldn't connect to server)`),
		like(Download, anywhereButTests, `^npm (?:ERR!|error) (?:code |errno )?(?:ENOTFOUND|ETIMEDOUT|ECONNRESET|ECONNREFUSED|EAI_AGAIN|ERR_SOCKET_TIMEOUT|E5\d\d|E404|E429)|^npm (?:ERR!|error) network|^error .*(?:ESOCKETTIMEDOUT|ECONNRESET|EAI_AGAIN)|urllib3\.exceptions\.|urlopen error|requests\.exceptions\.(?:Connection|Timeout|HTTP)|HTTPError: HTTP Error \d{3}|HTTP (?:error|response code):? (?:4\d\d|5\d\d)|The requested URL returned error: \d{3}|HTTP error 4\d\d|ERROR: Could not install packages due to an OSError: HTTPS`),
		// What is needed to build and is not there.
		like(Dependency, anywhereButTests, `\S: (?:command not found|No such file or directory: '[^/']+')$|: not found$|^env: .*: No such file or directory$|^/usr/bin/env: .*No such file`),
		like(Dependency, anywhereButTests, `error while loading shared libraries: `),
		like(Dependency, early, `(?:ModuleNotFoundError|ImportError): |^ERROR Missing dependencies:|Could not find a version that satisfies the requirement|ERROR: No matching distribution found`),
		like(Dependency, early, `fatal error: '?[^ :']+\.(?:h|hh|hpp|hxx)'?(?:: No such file or directory| file not found)`),
		like(Dependency, early, `^Package '?[^ ']+'?,? (?:required by .*, )?(?:was )?not found(?: in the pkg-config search path)?|^No package '.*' found|Package requirements \(.*\) were not met|Could NOT find [A-Za-z0-9_:]+|^\s*Could not find a package configuration file provided by|ERROR: Dependency ".*" (?:not found|is required)|ERROR: (?:Program|C library|C\+\+ library|Dependency lookup|Pkg-config).* (?:not found|failed)|configure: error: .*(?:not found|is required|is missing|[Cc]ould not find|[Cc]annot find|(?:library|headers?) .*needed|no acceptable)`),
		like(Dependency, early, `: cannot find -l\S+|unable to find library -l\S+|The system library .* required by crate|error: linker .* not found|Can't locate \S+ in @INC|cannot find package "|no required module provides package|Unknown CMake command|is not able to compile a simple test program`),
		// Tests that speak for themselves.
		like(Test, "check none", `^(?:FAILED|ERROR) \S+(?:::\S+)+|^=+ .*\b\d+ failed\b.* in [0-9.]+s|^FAILED \((?:failures|errors)=\d+|^test result: FAILED\.|^--- FAIL: |^FAIL\s+\S+\s+[0-9.]+s$|^\d+% tests passed, \d+ tests? failed|^The following tests FAILED:|^# FAIL: +[1-9]|^FAIL: \S+|^not ok \d+|^Fail: +[1-9]\d*$|^Tests: +\d+ failed|Failed +\d+/\d+ subtests|^Result: FAIL$|^npm (?:ERR!|error) Test failed`),
		// Compilers and what calls them.
		like(Compile, early, `^\S+?:\d+(?::\d+)?: (?:fatal )?error: |^error(?:\[E\d{4}\])?: |^\S+\.go:\d+(?::\d+)?: |^(?:go: |go build ).*(?:cannot|requires|errors|undefined|updates to go\.mod)`),
		like(Compile, early, `undefined reference to |undefined symbol: |multiple definition of |^(?:ld|lld|mold|gold|collect2|/usr/bin/ld\S*): .*(?:error|undefined|cannot|failed)|relocation .* against|file not recognized`),
		like(Compile, early, `^CMake Error|^ERROR: .*meson|\bmeson\.build:\d+:\d+: ERROR: |^configure: error: |internal compiler error: |^(?:cc1(?:plus)?|clang|gcc|g\+\+|rustc|javac|ghc|valac): .*error|\berror TS\d+: |^SyntaxError: |^\s*(?:SyntaxError|TypeError|NameError|AttributeError|ValueError|KeyError|RuntimeError|OSError|FileNotFoundError|ReferenceError|RangeError|Error): |error: could not compile |^error: (?:aborting|subprocess-exited|command .* failed)|\[ERROR\] .*(?:COMPILATION|Failed to execute goal)|^\* What went wrong:|BUILD FAILED|^npm (?:ERR!|error) (?:code|gyp|Failed|Missing|path|command|errno)|^gyp ERR! |^error Command failed|^fatal: |Error: Cannot find module `),
		like(Package, "package none", `^(?:install|cp|mv|chmod|ln|rm|sed|mkdir|cd|rmdir|find|gzip|strip): (?:cannot|can't|failed|missing|error|target|.*: No such file or directory)|PKGBUILD: line \d+: cd: `),
	}
}

// phase is the line with which makepkg ends after a function of the PKGBUILD failed.
var phase = regexp.MustCompile(`^==> ERROR: A failure occurred in (prepare|pkgver|build|check|package)(?:_\S+)?\(\)\.$`)

// byPhase is the class of a function that failed without saying anything that a rule knows.
var byPhase = map[string]string{"build": Compile, "check": Test, "package": Package, "prepare": Unknown, "pkgver": Package}

// byCode is the class of makepkg's exit codes, and ours, that say more than a log without any known line (makepkg(8)).
var byCode = map[int]string{
	2: Package, 5: Package, 6: Package, 7: Package, 8: Dependency, 11: Package, 12: Package, 14: Dependency, 15: Dependency, 16: PGP, 124: Timeout, 137: Memory,
}

// noise says nothing of its own: it follows whatever went wrong, or is our own closing words.
var noise = regexp.MustCompile(`^ +Aborting\.\.\.$|^make(?:\[\d+\])?: (?:\*\*\*|Leaving|Entering|Target)|^ninja: (?:build stopped|Entering)|^==> (?:caur: (?:the build|interferences|error: pacman)|WARNING|Removing|Starting|Entering|Checking|Making|Retrieving|Extracting|Validating|Tidying)|^Errors occurred, no packages were upgraded|^npm (?:ERR!|error) A complete log|^\s*(?:\||\^|~)+$|^note: |^collect2: error: ld returned|: error: linker command failed|^fatal: clone of |^error: failed to commit transaction \(unexpected error\)|^For more information about this error`)

// hints are words in small letters; every line that a rule knows holds one of them.
var hints = [...]string{
	"error", "fail", "fatal", "err!", "cannot", "can't", "could not", "couldn't", "not ", "no ", "missing", "required", "invalid", "killed",
	"memory", "alloc", "enospc", "edquot", "enomem", "quota", "disk", "space", "too full", "signal", "curl: (", "wget: ", "dial tcp",
	"timeout", "timed out", "refused", "reset", "unreachable", "unable", "early eof", "hunk", "patch", "mismatch", "integrity", "hash", "changed",
	"signature", "key", "trust", "forged", "conflict", "exists in filesystem", "breaks", "undefined", "multiple definition", "relocation",
	"pkgbuild: line", "unknown", "garbage", "resolution", "went wrong", ".go:", "go: ", "ninja: ", "requirements", "has already been",
}
