package review

import (
	"hash/maphash"
	"slices"
	"strings"
	"sync"

	"github.com/caur-build/caur/internal/pkgbuild"
	"github.com/caur-build/caur/pkg/pkgdir"
)

// hit is what a rule found at one place.
type hit struct {
	rule   *Rule
	key    string
	c      *command
	expose bool
}

func (h hit) id() string {
	z := h.c.zone
	return h.rule.ID + "\x00" + h.key + "\x00" + string(rune('0'+z))
}

// severity is higher where the code runs as root, or when the PKGBUILD is only read.
func (h hit) severity() Severity {
	if h.expose && (h.c.zone == inInstall || h.c.zone == atTop) {
		return h.rule.Exposed
	}
	return h.rule.Severity
}

// where completes the sentence of a finding.
func (h hit) where() string {
	at := ""
	switch {
	case h.c.zone == inInstall && h.c.fn != "":
		at = "as root, in " + h.c.fn + "()"
	case h.c.zone == inInstall:
		at = "as root, in " + h.c.file
	case h.c.zone == inFile:
		at = "in " + h.c.file
	case h.c.fn != "":
		at = "in " + h.c.fn + "()"
	case h.c.name != "":
		at = "whenever the PKGBUILD is read"
	}
	if h.c.how != "" {
		at = strings.TrimPrefix(at+", "+h.c.how, ", ")
	}
	return at
}

// risks applies the rules to the code that is new. Code that the old version has, too, is no new risk.
func (j *judging) risks(changes []pkgdir.Change) {
	var older, newer []*scan
	var olderTexts []*pkgdir.Change
	if j.hasMajor("PKGBUILD") && j.newer.file != nil {
		newer = append(newer, scanSide(j.newer, "PKGBUILD", inFunction))
		if j.older.file != nil {
			older = append(older, scanSide(j.older, "PKGBUILD", inFunction))
		}
	}
	for _, c := range changes {
		if c.Path == "PKGBUILD" || c.Path == ".SRCINFO" || pkgdir.OurOwn(c.Path) {
			continue
		}
		switch {
		case c.Old == nil:
		case kindOf(c.Path, c.Old, j.scripts) == plainFile: // often large, and seldom of interest
			olderTexts = append(olderTexts, &c)
		default:
			older = append(older, j.scanFile(c.Path, c.Old, false)...)
		}
		if c.New != nil {
			newer = append(newer, j.scanFile(c.Path, c.New, true)...)
		}
	}
	j.judgeScans(older, newer, sync.OnceValue(func() (scans []*scan) {
		for _, c := range olderTexts {
			scans = append(scans, j.scanFile(c.Path, c.Old, false)...)
		}
		return scans
	}))
}

func scanSide(s *side, file string, z zone) *scan {
	sc := newScan(file, z)
	sc.run(s.file.Tree(), s.eval())
	return sc
}

// scanFile makes a scan of a script, or of other text: of a new version only the lines that the old one does not have.
func (j *judging) scanFile(name string, f *pkgdir.File, isNew bool) []*scan {
	change := lineChange{to: len(f.Data)} // all of it
	z := inFile
	switch kindOf(name, f, j.scripts) {
	case installScript:
		z = inInstall
	case shellScript:
	case plainFile:
		if isNew {
			change = j.oldLines(name)
		}
		return []*scan{scanText(name, f, change)}
	default:
		return nil
	}
	parsed, err := pkgbuild.Parse(name, f.Data)
	if err != nil {
		if z == inInstall && isNew {
			j.find("unreadable", name, errorLine(err), "", err.Error(), name)
		}
		return []*scan{scanText(name, f, change)}
	}
	sc := newScan(name, z)
	sc.run(parsed.Tree(), nil)
	return []*scan{sc}
}

// scanText makes a command of every line of a file that is no bash, so that rules can look at its words: units, desktop
// files, patches, hooks of pacman.
func scanText(name string, f *pkgdir.File, change lineChange) *scan {
	sc := newScan(name, inFile)
	for line, text := range change.fresh(f.Data) {
		trimmed := strings.TrimSpace(text)
		if len(trimmed) < 60 && !strings.ContainsAny(trimmed, "/.$|&;`") || !sc.spend(len(text)) {
			continue // most lines of a large file can do nothing
		}
		words := strings.Fields(trimmed)
		if rest, ok := strings.CutPrefix(words[0], "+"); ok && rest != "" && !strings.HasPrefix(rest, "+") { // a patch
			words[0] = rest
		}
		_, run, isUnit := strings.Cut(trimmed, "=")
		if isUnit = isUnit && strings.HasPrefix(trimmed, "Exec"); isUnit {
			words = strings.Fields(strings.TrimLeft(run, "-@:+! "))
		}
		if len(words) > 200 {
			words = words[:200]
		}
		c := &command{line: line, words: words}
		if len(words) > 0 {
			c.name = words[0]
			if isUnit {
				c.name = words[0][strings.LastIndexByte(words[0], '/')+1:]
				sc.embedded(c, run)
			} else if suspiciousLine(trimmed) {
				sc.embedded(c, strings.TrimPrefix(trimmed, "+"))
			} else {
				c.name = "" // words only: prose is no command
			}
		}
		sc.add(c)
	}
	return sc
}

// embedded walks a line of another kind of file as the shell code that it may be.
func (s *scan) embedded(c *command, text string) {
	r := &resolver{scan: s, vars: map[string]*binding{}}
	s.code(r, c, code{strings.TrimSpace(text), "as a line of a file"})
}

// suspiciousLine recognises lines of Makefiles, patches and configurations that hand something to a shell.
func suspiciousLine(line string) bool {
	for _, word := range []string{"curl", "wget", "base64", "| sh", "|sh", "| bash", "|bash", "/dev/tcp", "npm ", "pip ", "bunx", "npx ", "eval ", "nc ", "systemctl"} {
		if strings.Contains(line, word) {
			return len(line) < 4000
		}
	}
	return false
}

// judgeScans applies the rules to the commands that are new word for word; what they find is no finding when they find
// the same in the old version. The old version's files that are no code are read only when something was found.
func (j *judging) judgeScans(older, newer []*scan, texts func() []*scan) {
	ids := identities{maphash.MakeSeed(), map[*command]uint64{}}
	had := map[uint64]bool{}
	for _, sc := range older {
		for _, c := range sc.commands {
			had[ids.of(c)] = true
		}
	}
	var hits []hit
	for _, sc := range newer {
		if sc.lost {
			j.find("too-much", sc.file, 0, "", "", "")
		}
		var fresh []*command
		for _, c := range sc.commands {
			if !had[ids.of(c)] {
				fresh = append(fresh, c)
			}
		}
		if len(fresh) > 0 {
			hits = append(hits, hitsOf(fresh, sc, everyRule)...)
		}
	}
	if len(hits) > 0 {
		older := slices.Concat(older, texts())
		known := map[string]bool{}
		ofThese := func(r *Rule) bool { return slices.ContainsFunc(hits, func(h hit) bool { return h.rule == r }) }
		for _, sc := range older {
			for _, h := range hitsOf(sc.commands, sc, ofThese) {
				known[h.id()] = true
			}
		}
		for _, h := range hits {
			if !known[h.id()] {
				j.note(h.rule, h.severity(), h.c.file, h.c.line, "", h.c.snippet(), h.where())
			}
		}
	}
	for _, sc := range newer {
		j.hiddenIn(sc, older, texts)
	}
}

// identities tell commands apart: of() is the same for commands that do the same with the same input in the same place.
type identities struct {
	seed  maphash.Seed
	texts map[*command]uint64
}

func (ids identities) text(c *command) uint64 {
	sum, ok := ids.texts[c]
	if !ok {
		sum = maphash.String(ids.seed, c.text())
		ids.texts[c] = sum
	}
	return sum
}

func (ids identities) of(c *command) uint64 {
	var h maphash.Hash
	h.SetSeed(ids.seed)
	maphash.WriteComparable(&h, ids.text(c))
	maphash.WriteComparable(&h, c.zone)
	if c.input != "" || c.odd || c.ifs {
		maphash.WriteComparable(&h, c.input)
		maphash.WriteComparable(&h, [2]bool{c.odd, c.ifs})
	}
	for _, f := range c.feeds {
		maphash.WriteComparable(&h, ids.text(f))
	}
	return h.Sum64()
}

// snippet is the command with what it is fed by.
func (c *command) snippet() string {
	text := c.text()
	for i := len(c.feeds) - 1; i >= max(0, len(c.feeds)-3); i-- {
		text = c.feeds[i].text() + " | " + text
	}
	if c.name == "" && c.input != "" {
		text += c.input
	}
	return text
}

func everyRule(*Rule) bool { return true }

// hitsOf applies the rules that want says to commands.
func hitsOf(commands []*command, sc *scan, want func(*Rule) bool) []hit {
	var out []hit
	t := table()
	type place struct {
		zone zone
		text string
	}
	looked := map[place]bool{}
	byCommand, byText := only(t.commands, want), only(t.texts, want)
	seen := map[string]bool{}
	add := func(h hit) {
		if len(h.key) > 300 {
			h.key = h.key[:300]
		}
		if id := h.id(); !seen[id] {
			seen[id] = true
			out = append(out, h)
		}
	}
	for _, c := range commands {
		isProse := c.zone == inFile && c.name == ""
		for _, r := range byCommand {
			if isProse && !r.prose {
				continue
			}
			if key, ok := r.match(c); ok {
				add(hit{r, key, c, c.name != "" || len(c.feeds) > 0})
			}
		}
		for _, text := range append(c.all(), c.input) {
			if at := (place{c.zone, text}); looked[at] {
				continue // the same words come again and again
			} else if len(text) < maxWordLen {
				looked[at] = true
			}
			for _, h := range textHits(text, byText) {
				add(hit{h.rule, h.key, c, c.name != ""})
			}
		}
	}
	if ran := t.byID["run-file"]; want(ran) {
		for _, c := range ranFiles(sc.commands) {
			add(hit{ran, c.text(), c, true})
		}
	}
	return out
}

func only(rules []*Rule, want func(*Rule) bool) (out []*Rule) {
	for _, r := range rules {
		if want(r) {
			out = append(out, r)
		}
	}
	return out
}

// textHits applies rules for text.
func textHits(text string, rules []*Rule) (out []hit) {
	if len(text) < 5 {
		return nil
	}
	lower := ""
	for _, r := range rules {
		if r.ID == "far-right" {
			continue
		}
		found := false
		for _, n := range r.needles {
			if lower == "" && len(n) > 1 {
				lower = strings.ToLower(text)
			}
			if len(n) == 1 && strings.Contains(text, n) || len(n) > 1 && strings.Contains(lower, n) {
				found = true
				break
			}
		}
		if !found {
			continue
		}
		if m := r.pattern.FindString(text); m != "" && (r.accept == nil || r.accept(m)) {
			out = append(out, hit{rule: r, key: m})
		}
	}
	return out
}

// hiddenIn decodes what a scan found encoded, and judges it.
func (j *judging) hiddenIn(sc *scan, older []*scan, texts func() []*scan) {
	found := hiddenTexts(sc)
	if len(found) == 0 {
		return
	}
	old := map[string]bool{}
	for _, o := range slices.Concat(older, texts()) {
		for _, h := range hiddenTexts(o) {
			old[h.text] = true
		}
	}
	for _, h := range found {
		if !old[h.text] {
			j.judgeHidden(sc, h, h.how, 0)
		}
	}
}

// hiddenTexts are the texts that were decoded on the way to a shell, and those that stand encoded in the words.
func hiddenTexts(sc *scan) []hidden {
	out := append([]hidden(nil), sc.decoded...)
	seen := map[string]bool{}
	for _, c := range sc.commands {
		for _, w := range append(c.all(), c.input) {
			if len(w) < minEncoded || seen[w] || !sc.spend(len(w)) {
				continue
			}
			seen[w] = true
			for _, h := range encodedIn(w) {
				h.line = c.line
				out = append(out, h)
			}
		}
	}
	return out
}

// judgeHidden judges decoded text as code; text inside it that is encoded again is decoded, too.
func (j *judging) judgeHidden(sc *scan, h hidden, how string, depth int) {
	if j.hidden[h.text] {
		return
	}
	j.hidden[h.text] = true
	j.find("hidden-text", sc.file, h.line, "", h.text, how)
	if depth >= maxNested || len(j.hidden) > maxHidden {
		j.find("too-much", sc.file, h.line, "", "", "")
		return
	}
	inner := newScan(sc.file, sc.zone)
	inner.line, inner.how, inner.fn = h.line, "decoded from "+how, "decoded"
	if file, err := pkgbuild.Parse(sc.file, []byte(h.text)); err == nil {
		inner.run(file.Tree(), nil)
	} else {
		inner.add(&command{line: h.line, words: strings.Fields(h.text)})
	}
	worst := hit{}
	for _, found := range hitsOf(inner.commands, inner, everyRule) {
		if worst.rule == nil || found.severity() > worst.severity() {
			worst = found
		}
	}
	if worst.rule != nil && worst.severity() >= Warning {
		j.find("hidden-code", sc.file, h.line, "", h.text, worst.rule.Title+", decoded from "+how)
	}
	for _, again := range hiddenTexts(inner) {
		again.line = h.line
		j.judgeHidden(sc, again, how+" in "+again.how, depth+1)
	}
}

// alarming says whether a piece of new code has anything that a rule warns of.
func (j *judging) alarming(file *pkgbuild.File) bool {
	sc := newScan("change", inFunction)
	sc.fn = "change"
	sc.run(file.Tree(), nil)
	for _, h := range hitsOf(sc.commands, sc, everyRule) {
		if h.severity() >= Warning {
			return true
		}
	}
	return len(hiddenTexts(sc)) > 0 || sc.lost
}
