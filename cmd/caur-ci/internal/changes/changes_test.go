package changes

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// dirs of a repository: plain names are packages, a name with a minus in front has no PKGBUILD.
func dirs(names ...string) map[string]bool {
	m := map[string]bool{}
	for _, name := range names {
		bare, without := strings.CutPrefix(name, "!")
		m[bare] = !without
	}
	return m
}

func files(paths ...string) []File {
	list := make([]File, len(paths))
	for i, path := range paths {
		list[i] = File{Path: path}
	}
	return list
}

func config(path, older, newer string) File {
	f := File{Path: path}
	if older != "" {
		f.Old = []byte(older)
	}
	if newer != "" {
		f.New = []byte(newer)
	}
	return f
}

func TestChangedFilesDecideWhatIsScheduled(t *testing.T) {
	tests := []struct {
		name    string
		files   []File
		dirs    map[string]bool
		changed []string
		removed []string
		skipped []Skipped
	}{
		{"a changed PKGBUILD schedules its package", files("paru/PKGBUILD"), dirs("paru", "yay"), []string{"paru"}, nil, nil},
		{"names with plus, at and dot are packages", files("gtk+/PKGBUILD", "a@b/x", "lib.so/x"), dirs("gtk+", "a@b", "lib.so"),
			[]string{"a@b", "gtk+", "lib.so"}, nil, nil},
		{"files at the top and in hidden directories are nobody's", files("README.md", ".ci/config", ".github/x/y", "LICENSE"),
			dirs("paru"), nil, nil, nil},
		{"a directory that is gone is removed", files("old/PKGBUILD", "old/.SRCINFO"), dirs("paru"), nil, []string{"old"}, nil},
		{"a renamed package is one removed and one added", files("old/PKGBUILD", "new/PKGBUILD"), dirs("new"),
			[]string{"new"}, []string{"old"}, nil},
		{"a directory that became a file is removed", files("old/PKGBUILD", "old"), dirs("paru"), nil, []string{"old"}, nil},
		{"a directory without a PKGBUILD is reported, neither scheduled nor removed", files("half/notes", "half/PKGBUILD"),
			dirs("!half"), nil, nil, []Skipped{{"half", NoPKGBUILD}}},
		{"an illegal name is reported", files("with space/PKGBUILD", "-dash/PKGBUILD"), dirs("with space", "-dash"), nil, nil,
			[]Skipped{{"-dash", IllegalName}, {"with space", IllegalName}}},
		{"an illegal name that is gone removes nothing", files("with space/PKGBUILD"), dirs("paru"), nil, nil,
			[]Skipped{{"with space", IllegalName}}},
		{"notes and update helpers schedule nothing",
			files("p/.CI/info", "p/.CI/update.sh", "p/nvchecker.toml", "p/.nvchecker.toml", "p/.gitignore", "p/sub/.gitignore"), dirs("p"),
			nil, nil, []Skipped{{"p", Irrelevant}}},
		{"one relevant file beside irrelevant ones is enough", files("p/.CI/info", "p/fix.patch"), dirs("p"), []string{"p"}, nil, nil},
		{"each interference schedules", files("a/.CI/prepare", "b/.CI/interfere.patch", "c/.CI/PKGBUILD.append", "d/.CI/PKGBUILD.prepend",
			"e/.CI/on-failure.sh"), dirs("a", "b", "c", "d", "e"), []string{"a", "b", "c", "d", "e"}, nil, nil},
		{"nvchecker.toml below a folder is a source like any other", files("p/sub/nvchecker.toml"), dirs("p"), []string{"p"}, nil, nil},
		{"a bump schedules", []File{config("p/.CI/config", "CI_PACKAGE_BUMP=1-1/1\n", "CI_PACKAGE_BUMP=1-1/2\n")}, dirs("p"), []string{"p"}, nil, nil},
		{"a key that steers updates schedules nothing", []File{config("p/.CI/config", "CI_PKGBUILD_SOURCE=aur\n",
			"CI_PKGBUILD_SOURCE=custom\nCI_REBUILD_TRIGGERS=icu\nCI_ON_TRIGGER=daily\n")}, dirs("p"), nil, nil, []Skipped{{"p", Irrelevant}}},
		{"a new config that only steers updates schedules nothing", []File{config("p/.CI/config", "", "CI_PKGBUILD_SOURCE=aur\n")},
			dirs("p"), nil, nil, []Skipped{{"p", Irrelevant}}},
		{"a builder key that vanishes with the file schedules", []File{config("p/.CI/config", "BUILDER_CLASS=7\n", "")}, dirs("p"), []string{"p"}, nil, nil},
		{"comments, quotes and order of a config schedule nothing", []File{config("p/.CI/config", "A=1\nBUILDER_CLASS=7\n",
			"# heavy\nBUILDER_CLASS=\"7\"\nA=1\r\n")}, dirs("p"), nil, nil, []Skipped{{"p", Irrelevant}}},
		{"an unknown key may matter", []File{config("p/.CI/config", "", "BUILDER_NEW=1\n")}, dirs("p"), []string{"p"}, nil, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			set, err := Find(Input{Files: tt.files, Dirs: tt.dirs})
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.changed, set.Pkgbases()); diff != "" {
				t.Errorf("scheduled (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tt.removed, set.Removed); diff != "" {
				t.Errorf("removed (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tt.skipped, set.Skipped); diff != "" {
				t.Errorf("skipped (-want +got):\n%s", diff)
			}
			if set.Empty() != (tt.changed == nil && tt.removed == nil) {
				t.Errorf("Empty() = %v", set.Empty())
			}
		})
	}
}

func TestReasonsAreTheRelevantFiles(t *testing.T) {
	set, err := Find(Input{Files: files("p/x.patch", "p/.CI/info", "p/PKGBUILD"), Dirs: dirs("p")})
	if err != nil {
		t.Fatal(err)
	}
	want := []Changed{{Pkgbase: "p", Files: []string{"PKGBUILD", "x.patch"}}}
	if diff := cmp.Diff(want, set.Changed); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestDeployRequests(t *testing.T) {
	tests := []struct {
		name     string
		messages []string
		deploy   []string
		all      bool
		warnings int
	}{
		{"one name", []string{"fix [deploy paru]"}, []string{"paru"}, false, 0},
		{"several in one message", []string{"[deploy paru] and [deploy gtk+]\n\n[deploy a@b]"}, []string{"a@b", "gtk+", "paru"}, false, 0},
		{"every commit counts, a name twice is one", []string{"[deploy paru]", "chore", "[deploy paru] [deploy yay]"}, []string{"paru", "yay"}, false, 0},
		{"all", []string{"[deploy all] [deploy paru]"}, []string{"paru"}, true, 0},
		{"blanks around the name", []string{"[deploy   paru ]"}, []string{"paru"}, false, 0},
		{"prose that looks like a request is warned of", []string{"docs: explain [deploy PKG…], [deploy a b] and [deploy <name>]"}, nil, false, 3},
		{"other brackets are prose", []string{"[skip ci] [deploy] [redeploy nothing]"}, nil, false, 0},
		{"a package that was removed after the request is warned of", []string{"[deploy old]"}, nil, false, 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			in := Input{Dirs: dirs("paru", "yay", "gtk+", "a@b"), Files: files("old/PKGBUILD")}
			for i, message := range tt.messages {
				in.Commits = append(in.Commits, Commit{ID: strings.Repeat(string(rune('a'+i)), 40), Message: message})
			}
			set, err := Find(in)
			if err != nil {
				t.Fatal(err)
			}
			if got := set.Pkgbases(); !slices.Equal(got, tt.deploy) {
				t.Errorf("deploy %q, want %q", got, tt.deploy)
			}
			if (set.All != "") != tt.all || len(set.Warnings) != tt.warnings {
				t.Errorf("all %q, warnings %q; want all %v and %d warnings", set.All, set.Warnings, tt.all, tt.warnings)
			}
		})
	}
}

func TestWrongDeployNameIsFatalAndNamesCommitAndPackage(t *testing.T) {
	tests := []struct{ name, message, want string }{
		{"no such package", "[deploy wrong-name]", "[deploy wrong-name], but there is no such package"},
		{"a directory without a PKGBUILD", "[deploy half]", "[deploy half], but the directory holds no PKGBUILD"},
		{"a hidden directory", "[deploy .ci]", "[deploy .ci], but there is no such package"},
		{"even beside all", "[deploy all] [deploy nope]", "[deploy nope]"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			set, err := Find(Input{
				Commits: []Commit{{ID: "0123456789abcdef0123", Message: tt.message}, {ID: "f0", Message: "[deploy also-wrong]"}},
				Dirs:    dirs("paru", "!half"),
				Files:   files("paru/PKGBUILD"),
			})
			var wrong *DeployError
			if set != nil || !errors.As(err, &wrong) {
				t.Fatalf("set %v, error %v", set, err)
			}
			for _, part := range []string{tt.want, "0123456789ab", "also-wrong", "fix the message and force-push"} {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("error %q does not say %q", err, part)
				}
			}
		})
	}
}

func TestOnlyPackageConfigsNeedTheirContent(t *testing.T) {
	for path, want := range map[string]bool{
		"paru/.CI/config": true, ".ci/config": false, ".hidden/.CI/config": false, "paru/sub/.CI/config": false,
		"paru/PKGBUILD": false, "config": false,
	} {
		if NeedsContent(path) != want {
			t.Errorf("NeedsContent(%q) is not %v", path, want)
		}
	}
}

// A set never holds a package twice, never schedules what is removed, and does not depend on the order of its input.
func FuzzFind(f *testing.F) {
	f.Add("a/PKGBUILD\nb/.CI/info", "x [deploy a] [deploy b]", "a b !c")
	f.Add("../x\n/\n//\na//b", "[deploy ]", "a")
	f.Fuzz(func(t *testing.T, paths, message, names string) {
		in := Input{
			Files:   files(strings.Split(paths, "\n")...),
			Commits: []Commit{{ID: "c", Message: message}},
			Dirs:    dirs(strings.Fields(names)...),
		}
		set, err := Find(in)
		slices.Reverse(in.Files)
		again, againErr := Find(in)
		if diff := cmp.Diff(set, again); diff != "" || (err == nil) != (againErr == nil) {
			t.Fatalf("the order of the files matters:\n%s", diff)
		}
		if err != nil {
			return
		}
		for _, pkgbase := range set.Pkgbases() {
			if !in.Dirs[pkgbase] || slices.Contains(set.Removed, pkgbase) {
				t.Errorf("%q is scheduled: %+v", pkgbase, set)
			}
		}
	})
}
