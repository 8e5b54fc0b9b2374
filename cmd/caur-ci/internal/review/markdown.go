package review

// Links is what a description points to; empty ones are left out.
type Links struct {
	AUR    string // page of the package
	Commit string // the commit that was taken over
	Diff   string // unified diff of the two versions, shown collapsed
}

// Markdown is the description of a request, risk first.
func (v Verdict) Markdown(l Links, s Signals, d Decision) string { return "" }
