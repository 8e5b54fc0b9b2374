package makepkg

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/caur-build/caur/internal/conf"
)

// maxTimeFactor bounds BUILDER_EXTRA_TIMEOUT: with the default limit of an hour it is a month.
const maxTimeFactor = 720

// maxConfig bounds a .CI/config, in bytes.
const maxConfig = 1 << 20

// PackageConfig are the keys of PKGDIR/.CI/config that steer the build itself (pipeline.md section 1).
type PackageConfig struct {
	CacheSources    bool    // BUILDER_CACHE_SOURCES
	ExtraTimeout    float64 // BUILDER_EXTRA_TIMEOUT, a factor; 1 when it is not set
	AllowProhibited bool    // BUILDER_ALLOW_PROHIBITED
	// Privileges are what the build needs beyond the ordinary (BUILDER_PRIVILEGES): Sudo, and names of capabilities (SYS_ADMIN).
	Privileges []string
	Offline    bool // CI_BUILD_NETWORK=none: no network once the sources are there
}

// Sudo in PackageConfig.Privileges lets the build user become root with sudo(8).
const Sudo = "sudo"

var privilegePattern = regexp.MustCompile(`^(sudo|[A-Z][A-Z_]{1,31})$`)

// maxPrivileges is more than there are capabilities.
const maxPrivileges = 64

// Limit is how long makepkg may take with a limit of base; 0 stays without limit.
func (c PackageConfig) Limit(base time.Duration) time.Duration {
	limit := float64(base) * c.ExtraTimeout
	if limit > math.MaxInt64/2 {
		return math.MaxInt64 / 2
	}
	return time.Duration(limit)
}

// ReadPackageConfig reads .CI/config of a package directory; without the file everything has its default. The error
// names file, line and key.
func ReadPackageConfig(dir string) (PackageConfig, error) {
	c := PackageConfig{ExtraTimeout: 1}
	const name = ".CI/config"
	root, err := os.OpenRoot(dir)
	if err != nil {
		return c, fmt.Errorf("read the package: %w", err)
	}
	defer root.Close()
	data, err := readRegular(root, name, maxConfig)
	if errors.Is(err, fs.ErrNotExist) {
		return c, nil
	}
	if err != nil {
		return c, fmt.Errorf("read the package: %w", err)
	}
	file := conf.Parse(name, data)
	flag := func(key string, at *bool) error {
		text, ok := file.Get(key)
		if !ok || text == "" {
			return nil
		}
		v, err := conf.Bool(text)
		if err != nil {
			return fmt.Errorf("%s:%d: %s=%q: must be true or false", name, file.Line(key), key, text)
		}
		*at = v
		return nil
	}
	err = errors.Join(flag("BUILDER_CACHE_SOURCES", &c.CacheSources), flag("BUILDER_ALLOW_PROHIBITED", &c.AllowProhibited))
	const timeout = "BUILDER_EXTRA_TIMEOUT"
	if text, ok := file.Get(timeout); ok && text != "" {
		v, parseErr := strconv.ParseFloat(text, 64)
		if parseErr != nil || !(v > 0 && v <= maxTimeFactor) {
			err = errors.Join(err, fmt.Errorf("%s:%d: %s=%q: must be a number above 0 and at most %d", name, file.Line(timeout), timeout, text, maxTimeFactor))
		} else {
			c.ExtraTimeout = v
		}
	}
	return c, errors.Join(err, c.readWords(file))
}

// readWords reads the keys whose values are words.
func (c *PackageConfig) readWords(file *conf.File) (err error) {
	const privileges, network = "BUILDER_PRIVILEGES", "CI_BUILD_NETWORK"
	text, _ := file.Get(privileges)
	for _, name := range strings.FieldsFunc(text, func(r rune) bool { return strings.ContainsRune(" \t,:", r) }) {
		if !privilegePattern.MatchString(name) {
			err = fmt.Errorf("%s:%d: %s=%q: must be sudo or names of capabilities such as SYS_ADMIN", file.Name(), file.Line(privileges), privileges, text)
			break
		}
		c.Privileges = append(c.Privileges, strings.TrimPrefix(name, "CAP_"))
	}
	slices.Sort(c.Privileges)
	c.Privileges = slices.Compact(c.Privileges)
	if len(c.Privileges) > maxPrivileges {
		err = errors.Join(err, fmt.Errorf("%s:%d: %s: more than %d names", file.Name(), file.Line(privileges), privileges, maxPrivileges))
	}
	switch text, _ := file.Get(network); text {
	case "", "default":
	case "none":
		c.Offline = true
		if slices.Contains(c.Privileges, Sudo) { // who becomes root gets out of everything
			err = errors.Join(err, fmt.Errorf("%s:%d: %s=sudo and %s=none exclude each other", file.Name(), file.Line(privileges), privileges, network))
		}
	default:
		err = errors.Join(err, fmt.Errorf("%s:%d: %s=%q: must be none or default", file.Name(), file.Line(network), network, text))
	}
	return err
}

// readRegular reads a regular file within root; no link leads outside, and nothing that blocks is opened.
func readRegular(root *os.Root, name string, limit int64) ([]byte, error) {
	info, err := root.Stat(name)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s: is no regular file", name)
	}
	if info.Size() > limit {
		return nil, fmt.Errorf("%s: has %d bytes; more than %d are not read", name, info.Size(), limit)
	}
	f, err := root.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, limit))
}
