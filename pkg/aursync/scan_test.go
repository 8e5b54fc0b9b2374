package aursync

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/Jguer/aur"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// TestScanFindsWhatEncodingJSONFinds holds the short way through an archive to the long one, whatever stands in the
// values and however the text is laid out.
func TestScanFindsWhatEncodingJSONFinds(t *testing.T) {
	text := rapid.SampledFrom([]string{
		"a", "b", "c", "", "x\"y", `","Name":"a`, `"PackageBase":"a"`, `\`, `a\`, "},\n{", "]", "ä", "<a>", "\u2028", "a b", "],[", "\x00",
	})
	rapid.Check(t, func(t *rapid.T) {
		var lines []string
		truth := newSelection([]Want{{Pkgbase: "a"}, {Pkgbase: "x\"y", Pkgnames: []string{"b"}}})
		for range rapid.IntRange(1, 8).Draw(t, "packages") {
			p := aur.Pkg{
				Name: text.Draw(t, "name"), PackageBase: text.Draw(t, "base"), Version: text.Draw(t, "version"), Description: text.Draw(t, "description"),
				Keywords: []string{text.Draw(t, "keyword"), text.Draw(t, "keyword")}, LastModified: rapid.IntRange(0, 5).Draw(t, "modified"),
			}
			line, err := json.Marshal(p)
			if err != nil {
				t.Fatal(err)
			}
			lines = append(lines, string(line))
			truth.take(&p)
		}
		glue := rapid.SampledFrom([]string{",\n", ",", "\n,\n", " ,\r\n ", "\n,"}).Draw(t, "between")
		archive := rapid.SampledFrom([]string{"[", "[\n", "\n[ \n", " [\t"}).Draw(t, "begin") + strings.Join(lines, glue) +
			rapid.SampledFrom([]string{"]", "\n]", "\n]\n", " \n ] "}).Draw(t, "end")
		s := newSelection(truth.wants)
		if err := s.scan(strings.NewReader(archive)); err != nil {
			t.Fatalf("%v\n%s", err, archive)
		}
		if diff := cmp.Diff(truth.found, s.found); diff != "" || s.entries != len(lines) {
			t.Errorf("%d of %d\n%s\n%s", s.entries, len(lines), diff, archive)
		}
		cut := archive[:rapid.IntRange(0, len(strings.TrimRight(archive, " \n]"))).Draw(t, "cut")]
		if err := newSelection(truth.wants).scan(strings.NewReader(cut)); err == nil {
			t.Errorf("half of it was taken for whole:\n%s", cut)
		}
	})
}

func TestTheNewestOfAPkgbaseCounts(t *testing.T) {
	s := newSelection([]Want{{Pkgbase: "a"}})
	for i, modified := range []int{2, 5, 3} {
		s.take(&aur.Pkg{Name: fmt.Sprint(3 - i), PackageBase: "a", Version: fmt.Sprint(modified), LastModified: modified})
	}
	m := s.found["a"]
	if m.Version != "5" || !m.LastModified.Equal(at(5)) || strings.Join(m.Pkgnames, "") != "123" {
		t.Errorf("got %+v", m)
	}
}
