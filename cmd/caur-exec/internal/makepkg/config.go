package makepkg

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"strconv"
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
}

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
	return c, err
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
