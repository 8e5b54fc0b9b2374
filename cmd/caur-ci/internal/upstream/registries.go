package upstream

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"
)

func (c *Checker) pypi(ctx context.Context, e Entry) ([]candidate, error) {
	name, err := e.named("pypi")
	if err != nil {
		return nil, err
	}
	var project struct {
		Releases map[string][]struct {
			Yanked bool `json:"yanked"`
		} `json:"releases"`
	}
	address := "https://pypi.org/pypi/" + url.PathEscape(name) + "/json"
	if err := c.json(ctx, address, nil, &project); err != nil {
		return nil, notFound(err, "there is no project "+name)
	}
	var found []candidate
	for text, files := range project.Releases {
		v := parseVersion(text)
		early := v.pre != "" || v.dev != ""
		if v.legacy != nil || len(files) > 0 && files[0].Yanked || early && !e.on("use_pre_release") {
			continue
		}
		found = append(found, candidate{version: text, when: v})
	}
	slices.SortFunc(found, func(a, b candidate) int { return strings.Compare(a.version, b.version) }) // maps have no order
	return found, nil
}

func (c *Checker) npm(ctx context.Context, e Entry) ([]candidate, error) {
	name, err := e.named("npm")
	if err != nil {
		return nil, err
	}
	var tags map[string]string
	address := "https://registry.npmjs.org/-/package/" + url.PathEscape(name) + "/dist-tags"
	if err := c.json(ctx, address, nil, &tags); err != nil {
		return nil, notFound(err, "there is no package "+name)
	}
	return []candidate{{version: tags["latest"]}}, nil
}

// semver is a version of Cargo (semver.org): numbers, perhaps -PRERELEASE, perhaps +BUILD.
var semver = regexp.MustCompile(`^(?:0|[1-9][0-9]*)\.(?:0|[1-9][0-9]*)\.(?:0|[1-9][0-9]*)(-[0-9A-Za-z.-]+)?(?:\+[0-9A-Za-z.-]+)?$`)

func (c *Checker) cratesio(ctx context.Context, e Entry) ([]candidate, error) {
	name, err := e.named("cratesio")
	if err != nil {
		return nil, err
	}
	var crate struct {
		Versions []struct {
			Num    string `json:"num"`
			Yanked bool   `json:"yanked"`
		} `json:"versions"`
	}
	if err := c.json(ctx, "https://crates.io/api/v1/crates/"+url.PathEscape(name), nil, &crate); err != nil {
		return nil, notFound(err, "there is no crate "+name)
	}
	var found []candidate
	for _, v := range crate.Versions {
		m := semver.FindStringSubmatch(v.Num)
		if m != nil && !v.Yanked && (m[1] == "" || e.on("use_pre_release")) {
			found = append(found, candidate{version: v.Num})
		}
	}
	return found, nil
}

type archPackage struct {
	Repo     string   `json:"repo"`
	Pkgver   string   `json:"pkgver"`
	Pkgrel   string   `json:"pkgrel"`
	Provides []string `json:"provides"`
}

func (c *Checker) archpkg(ctx context.Context, e Entry) ([]candidate, error) {
	name, err := e.named("archpkg")
	if err != nil {
		return nil, err
	}
	provided, err := e.text("provided")
	if err != nil {
		return nil, err
	}
	var answer struct {
		Results []archPackage `json:"results"`
	}
	if err := c.json(ctx, "https://archlinux.org/packages/search/json/?name="+url.QueryEscape(name), nil, &answer); err != nil {
		return nil, err
	}
	i := slices.IndexFunc(answer.Results, func(p archPackage) bool { return !strings.Contains(p.Repo, "testing") })
	if i < 0 {
		return nil, fmt.Errorf("there is no package %s in Arch Linux", name)
	}
	found := answer.Results[i]
	text := found.Pkgver + "-" + found.Pkgrel
	if provided != "" {
		text = ""
		for _, p := range found.Provides {
			if v, is := strings.CutPrefix(p, provided+"="); is {
				text = v
			}
		}
	}
	if e.on("strip_release") {
		text, _, _ = strings.Cut(text, "-")
	}
	return []candidate{{version: text}}, nil
}

func (c *Checker) aur(ctx context.Context, e Entry) ([]candidate, error) {
	name, err := e.named("aur")
	if err != nil {
		return nil, err
	}
	var answer struct {
		Results []struct{ Name, Version string }
	}
	if err := c.json(ctx, "https://aur.archlinux.org/rpc/v5/info?arg[]="+url.QueryEscape(name), nil, &answer); err != nil {
		return nil, err
	}
	for _, p := range answer.Results {
		if p.Name != name {
			continue
		}
		if i := strings.LastIndexByte(p.Version, '-'); i >= 0 && e.on("strip_release") {
			p.Version = p.Version[:i]
		}
		return []candidate{{version: p.Version}}, nil
	}
	return nil, errors.New("the AUR has no package " + name)
}
