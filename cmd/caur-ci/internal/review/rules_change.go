package review

// The rules of this file have no matcher: comparing the two versions finds what they stand for.

func versionRules() []Rule {
	return []Rule{
		{ID: "version", Kind: "version", Severity: Info, Minor: true, Title: "The version changed", Why: "An update. The values are literals, so they cannot carry code."},
		{ID: "version-older", Kind: "version", Severity: Notice, Minor: true, Title: "The new version is older than the one before", Why: "Sometimes right, for VCS packages often meaningless; it can also bring back a known hole."},
		{ID: "version-expansion", Kind: "version", Severity: Critical, Title: "A literal value became an expansion", Why: "`pkgver=1.2` became `pkgver=$(…)` or `pkgver=${x}`: the place where a reader looks last now runs code, or hides what the value is."},
		{ID: "version-form", Kind: "version", Severity: Warning, Title: "A version has a form that no version has", Why: "Only letters, digits and . _ + ~ make a pkgver; anything else may be code for somebody's eval."},
		{ID: "epoch", Kind: "version", Severity: Notice, Minor: true, Title: "The epoch rose by one", Why: "Makes an older version count as newer. Allowed without review, but worth knowing."},
		{ID: "epoch-abuse", Kind: "version", Severity: Warning, Title: "The epoch falls or jumps", Why: "An epoch far up makes sure that no other version ever replaces this one."},
		{ID: "pin", Kind: "version", Severity: Info, Minor: true, Title: "A pinned commit or version changed", Why: "A variable such as _commit with a literal version or hash before and after."},
		{ID: "pin-lost", Kind: "version", Severity: Warning, Title: "A pinned commit is no longer one", Why: "A branch or tag gives other code tomorrow, and no checksum notices."},
		{ID: "layout", Kind: "layout", Severity: Info, Minor: true, Title: "Only layout, comments or quotes changed", Why: "The syntax trees are the same."},
		{ID: "order", Kind: "layout", Severity: Info, Title: "Functions or literal assignments changed places", Why: "They mean the same in any order; every variable still has its value."},
		{ID: "allowed", Kind: "layout", Severity: Info, Minor: true, Title: "A change that the package's allow list covers", Why: "CI_PKGBUILD_CHANGE_ALLOW_REGEX. It covers no expansion that runs code, and nothing that a rule warns of."},
		{ID: "checksum", Kind: "checksum", Severity: Info, Minor: true, Title: "Checksums changed", Why: "They do with every version."},
		{ID: "checksum-skip", Kind: "checksum", Severity: Warning, Title: "A checksum became SKIP", Why: "The source is no longer checked: whoever controls the server, or the way to it, decides what is built."},
		{ID: "checksum-same-version", Kind: "checksum", Severity: Warning, Title: "A checksum changed though neither its source nor the version did", Why: "A release that changes after it was published is what a break-in looks like."},
		{ID: "checksum-count", Kind: "checksum", Severity: Notice, Title: "The number of checksums changed", Why: "Sources came or went."},
		{ID: "checksum-form", Kind: "checksum", Severity: Warning, Title: "A checksum has a form that no checksum has", Why: "Too short, not hexadecimal, or of another kind."},
		{ID: "checksum-weaker", Kind: "checksum", Severity: Warning, Title: "A kind of checksum went away, or a weaker one took its place", Why: "MD5, SHA-1 and CRC can be forged."},
	}
}

func sourceRules() []Rule {
	return []Rule{
		{ID: "source-version", Kind: "source", Severity: Info, Minor: true, Title: "The version inside a source changed", Why: "Host and path are the same once the version is left out."},
		{ID: "source-added", Kind: "source", Severity: Warning, Title: "A source was added", Why: "New code or data from somewhere."},
		{ID: "source-local", Kind: "source", Severity: Notice, Title: "A file of the package became a source", Why: "The file itself is judged, too."},
		{ID: "source-removed", Kind: "source", Severity: Notice, Title: "A source was removed", Why: "A patch that is gone may have closed a hole."},
		{ID: "source-host", Kind: "source", Severity: Warning, Title: "A source comes from another host", Why: "Everything that is built comes from there."},
		{ID: "source-path", Kind: "source", Severity: Warning, Title: "A source comes from another place of the same host", Why: "On a forge the path says whose repository it is."},
		{ID: "source-insecure", Kind: "source", Severity: Warning, Title: "A source comes over a connection that is not encrypted", Why: "http:, ftp: and git: can be changed on the way."},
		{ID: "source-unpinned", Kind: "source", Severity: Warning, Title: "A source lost its pinned commit or tag", Why: "A branch gives other code tomorrow, and VCS sources have no checksums."},
		{ID: "source-form", Kind: "source", Severity: Notice, Title: "A source is written in another way and cannot be followed", Why: "It needs a substitution to be known."},
		{ID: "signature-dropped", Kind: "source", Severity: Warning, Title: "A signature is no longer checked", Why: "?signed or a .sig source is gone."},
		{ID: "pgpkeys", Kind: "source", Severity: Warning, Title: "The keys that may sign the sources changed", Why: "Whoever has the new key can sign anything."},
	}
}

func codeRules() []Rule {
	return []Rule{
		{ID: "function-added", Kind: "function", Severity: Notice, Title: "A function was added", Why: "New code runs."},
		{ID: "function-changed", Kind: "function", Severity: Notice, Title: "A function changed", Why: "Other code runs."},
		{ID: "function-removed", Kind: "function", Severity: Notice, Title: "A function was removed", Why: "check() and prepare() may have guarded something."},
		{ID: "top-level", Kind: "code", Severity: Warning, Title: "Code outside of functions changed", Why: "It runs whenever anybody only reads the PKGBUILD."},
		{ID: "top-level-substitution", Kind: "code", Severity: Critical, Title: "A value is made by a command that runs when the PKGBUILD is read", Why: "$(…), `…` and <(…) outside of functions run on every machine that looks at the package."},
		{ID: "variable", Kind: "variable", Severity: Notice, Title: "A variable changed", Why: "Its value goes into code."},
		{ID: "metadata", Kind: "metadata", Severity: Info, Title: "A description changed", Why: "pkgdesc, url, license and the like: not minor, but no code."},
		{ID: "values-version", Kind: "metadata", Severity: Info, Title: "The version inside a value changed", Why: "The value is the same once the version is left out."},
		{ID: "pkgname", Kind: "metadata", Severity: Notice, Title: "The names of the packages changed", Why: "Other packages are built."},
		{ID: "takes-over", Kind: "metadata", Severity: Notice, Title: "The package replaces or provides others", Why: "replaces= and provides= make pacman take it in the place of another package."},
		{ID: "dependency", Kind: "dependency", Severity: Notice, Title: "The dependencies changed", Why: "They are installed with it, and their code runs."},
		{ID: "dependency-fetches", Kind: "dependency", Severity: Warning, Title: "A dependency was added that fetches code", Why: "npm, pip, curl and the like among the build tools say that the build will use the network."},
		{ID: "install-variable", Kind: "install", Severity: Warning, Title: "install= changed", Why: "Another script runs as root on every machine."},
		{ID: "options", Kind: "metadata", Severity: Notice, Title: "options=, backup= or noextract= changed", Why: "They change how the package is made."},
		{ID: "srcinfo", Kind: "metadata", Severity: Notice, Title: "The .SRCINFO changed beyond what the PKGBUILD explains", Why: "Dependencies and sources are planned from it."},
		{ID: "srcinfo-computed", Kind: "metadata", Severity: Info, Minor: true, Title: "A value in .SRCINFO that the PKGBUILD computes changed", Why: "By code that is the same as before: a date, a version in another form."},
		{ID: "srcinfo-mismatch", Kind: "metadata", Severity: Warning, Title: "The .SRCINFO says something else than the PKGBUILD", Why: "People look at the one, makepkg runs the other."},
		{ID: "unreadable", Kind: "code", Severity: Warning, Title: "A file cannot be read", Why: "Syntax errors, carriage returns, NUL bytes, other encodings: nobody can say what it does."},
		{ID: "too-much", Kind: "code", Severity: Warning, Title: "There is more code, or code inside code, than is looked at", Why: "Judging is bounded; what is beyond was not seen."},
		{ID: "maintainer-header", Kind: "maintainer", Severity: Notice, Minor: true, Title: "The maintainer named in the comments changed", Why: "A comment proves nothing; with a changed AUR account it is a take-over."},
	}
}

func fileRules() []Rule {
	return []Rule{
		{ID: "install-added", Kind: "install", Severity: Warning, Title: "An install script was added", Why: "It runs as root on every machine that installs the package. This is how most malware in the AUR worked."},
		{ID: "install-changed", Kind: "install", Severity: Warning, Title: "An install script changed", Why: "It runs as root on every machine that installs the package."},
		{ID: "install-removed", Kind: "install", Severity: Notice, Title: "An install script was removed", Why: "What it did is no longer done."},
		{ID: "file-added", Kind: "file", Severity: Notice, Title: "A file was added", Why: "It may become part of the package or of its build."},
		{ID: "file-changed", Kind: "file", Severity: Notice, Title: "A file changed", Why: "It may be part of the package or of its build."},
		{ID: "file-removed", Kind: "file", Severity: Notice, Title: "A file was removed", Why: "A patch that is gone may have closed a hole."},
		{ID: "binary", Kind: "file", Severity: Warning, Title: "A file that is no text was added or changed", Why: "Nobody can read it."},
		{ID: "program", Kind: "file", Severity: Critical, Title: "A compiled program was added or changed", Why: "ELF, PE, Mach-O, Java classes: code that nobody can read, from nobody knows where."},
		{ID: "link", Kind: "file", Severity: Warning, Title: "A symbolic link was added or changed", Why: "It makes one name mean another file."},
		{ID: "mode", Kind: "file", Severity: Notice, Title: "A file became executable, or no longer is", Why: "It may be run from now on."},
		{ID: "update-command", Kind: "file", Severity: Critical, Title: "The settings of the update check run a command", Why: "nvchecker with source = \"cmd\" runs it in the pipeline, where the secrets are."},
		{ID: "update-check", Kind: "file", Severity: Info, Title: "The settings of the update check changed", Why: "nvchecker.toml steers where caur looks for versions; no build reads it. One that runs nothing is of no concern."},
		{ID: "ci-files", Kind: "file", Severity: Warning, Title: "A file of .CI changed", Why: "Hooks and settings there run in the pipeline and in the builder; no update from outside may bring them."},
		{ID: "gitignore", Kind: "file", Severity: Info, Title: "Only what git ignores changed: .gitignore", Why: "No build reads it."},
		{ID: "ci-bump", Kind: "version", Severity: Info, Minor: true, Title: "A rebuild: only values in .CI/config that caur writes itself changed", Why: "CI_PACKAGE_BUMP and the like."},
	}
}

func signalRules() []Rule {
	return []Rule{
		{ID: "maintainer-changed", Kind: "maintainer", Severity: Warning, Title: "The maintainers in the AUR changed since the last version", Why: "A package that was taken over is how hijacked accounts and adopted orphans spread malware."},
		{ID: "adopted", Kind: "maintainer", Severity: Warning, Title: "The package was adopted a short while ago", Why: "CI_ADOPTION_DAYS. Attackers adopt orphans and push at once."},
		{ID: "orphaned", Kind: "maintainer", Severity: Warning, Title: "Nobody maintains the package in the AUR", Why: "Anybody can adopt it at any moment."},
		{ID: "maintainer-unknown", Kind: "maintainer", Severity: Warning, Title: "Who maintains the package in the AUR is unknown", Why: "What is not known is not taken as good."},
		{ID: "author", Kind: "maintainer", Severity: Warning, Title: "The author of the AUR commit is none of the maintainers", Why: "Often another e-mail name of theirs; sometimes somebody who has their key."},
		{ID: "young", Kind: "maintainer", Severity: Warning, Title: "The package is younger than 30 days in the AUR", Why: "Copies of known packages with something added live for days."},
	}
}
