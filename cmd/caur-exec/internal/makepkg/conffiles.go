package makepkg

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// makepkgConf is the configuration that makepkg gets: that of the container with our settings on top. What makepkg takes
// from the environment (PACKAGER, CARCH, PKGDEST, SRCDEST, PKGEXT) is set there too, since it wins over any file.
func (r Request) makepkgConf() string {
	var b strings.Builder
	b.WriteString("# written by caur-exec build\n")
	b.WriteString("[[ -r /etc/makepkg.conf ]] && source /etc/makepkg.conf\n")
	b.WriteString("for _file in /etc/makepkg.conf.d/*.conf; do [[ -r $_file ]] && source \"$_file\"; done\nunset _file\n")
	fmt.Fprintf(&b, "CARCH=%s\nPACKAGER=%s\nMAKEFLAGS='-j%d'\n", shellQuote(r.Arch), shellQuote(r.packager()), r.Jobs)
	// Packages are compressed later, with all cores; a debug package has a name that no job asks for.
	b.WriteString("PKGEXT='.pkg.tar'\nSRCEXT='.src.tar.gz'\nOPTIONS+=('!debug')\nBUILDENV+=('!distcc' '!sign')\ntrue\n")
	return b.String()
}

func (r Request) packager() string {
	if r.Packager == "" {
		return "Unknown Packager"
	}
	return r.Packager
}

// pacmanConf derives the configuration of pacman from base, the container's own: the job's mirror comes first in core and
// extra, extra repositories and the target repository come last. count is the number of repositories in it.
func (r Request) pacmanConf(base []byte) (text []byte, count int) {
	if len(bytes.TrimSpace(base)) == 0 {
		base = []byte("[options]\nArchitecture = auto\n")
	}
	var b bytes.Buffer
	seen := make(map[string]bool)
	for line := range strings.Lines(string(base)) {
		section, isSection := sectionName(line)
		b.WriteString(strings.TrimRight(line, "\n") + "\n")
		if !isSection {
			continue
		}
		seen[section] = true
		switch {
		case section == "options":
			if len(r.Keyrings) > 0 {
				b.WriteString("RemoteFileSigLevel = Required\n")
			}
			continue
		case (section == "core" || section == "extra") && r.Mirror != "":
			fmt.Fprintf(&b, "Server = %s\n", r.Mirror)
		}
		count++
	}
	for _, repo := range r.repos() {
		if seen[repo.Name] {
			continue
		}
		seen[repo.Name] = true
		count++
		fmt.Fprintf(&b, "\n[%s]\n", repo.Name)
		if repo.SigLevel != "" {
			fmt.Fprintf(&b, "SigLevel = %s\n", repo.SigLevel)
		}
		for _, server := range repo.Servers {
			fmt.Fprintf(&b, "Server = %s\n", server)
		}
	}
	return b.Bytes(), count
}

func sectionName(line string) (string, bool) {
	line = strings.TrimSpace(line)
	if len(line) < 3 || line[0] != '[' || line[len(line)-1] != ']' {
		return "", false
	}
	return line[1 : len(line)-1], true
}

// writeConf writes both files to the work directory. In a root of our own pacman's becomes the default as well, so that
// prepare and PKGBUILDs that ask pacman see the same repositories.
func (b *build) writeConf() error {
	dir := filepath.Join(b.WorkDir, "etc")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	b.makepkgConfPath, b.pacmanConfPath = filepath.Join(dir, "makepkg.conf"), filepath.Join(dir, "pacman.conf")
	const system = "/etc/pacman.conf"
	base, err := os.ReadFile(system)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	text, count := b.pacmanConf(base)
	b.repoCount = count
	files := map[string][]byte{b.makepkgConfPath: []byte(b.Request.makepkgConf()), b.pacmanConfPath: text}
	if b.OwnRoot {
		files[system] = text
	}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if err := os.WriteFile(name, files[name], 0o644); err != nil {
			return fmt.Errorf("write %s: %w", name, err)
		}
	}
	return nil
}

// shellQuote makes text one word of the shell.
func shellQuote(text string) string {
	return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'"
}
