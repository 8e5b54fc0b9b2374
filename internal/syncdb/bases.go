package syncdb

import (
	"bytes"
	"errors"
	"fmt"
	"io"
)

// Bounds of what EachBase reads of an archive, unpacked. The largest repository there is has 15,000 packages and 60 MiB.
const (
	maxStream = 2 << 30
	maxDesc   = 1 << 20
)

// EachBase reads a db archive as a stream, of whatever compression, and yields pkgbase and version of every package:
// once for each package of a pkgbase. It keeps nothing in memory. An archive that ends too early is an error that wraps
// io.ErrUnexpectedEOF. What pacman would refuse (an entry without name or version) is an error, too.
func EachBase(r io.Reader, yield func(pkgbase, version string) error) error {
	plain, err := decompress(r)
	if err != nil {
		return err
	}
	defer plain.Close() //nolint:errcheck // nothing was written
	whole := &io.LimitedReader{R: plain, N: maxStream}
	var desc bytes.Buffer
	err = members(whole, func(dir, name string, size int64, body io.Reader) error {
		if name != "desc" {
			return nil
		}
		if size > maxDesc {
			return fmt.Errorf("entry %q: its desc has %d bytes, which no package needs", clip(dir), size)
		}
		desc.Reset()
		if _, err := desc.ReadFrom(body); err != nil {
			return err
		}
		pkgbase, version := baseOf(desc.Bytes())
		if len(pkgbase) == 0 || len(version) == 0 {
			return fmt.Errorf("entry %q: its desc needs %%NAME%% and %%VERSION%%", clip(dir))
		}
		return yield(string(pkgbase), string(version))
	})
	switch {
	case err != nil && whole.N <= 0:
		return fmt.Errorf("the archive has more than %d bytes, which is taken for an attack", int64(maxStream))
	case err != nil:
		return err
	}
	// What follows the end of the archive is read too, so that a checksum behind it is looked at.
	if _, err := io.Copy(io.Discard, whole); err != nil {
		return fmt.Errorf("damaged archive: %w", err)
	}
	if whole.N == maxStream {
		return errors.New("is empty, which no pacman database is")
	}
	return nil
}

// baseOf picks %BASE%, or else %NAME%, and %VERSION% out of a desc.
func baseOf(desc []byte) (pkgbase, version []byte) {
	var name []byte
	for len(desc) > 0 {
		var line []byte
		line, desc = cutLine(desc)
		switch string(line) {
		case "%NAME%":
			name, desc = cutLine(desc)
		case "%BASE%":
			pkgbase, desc = cutLine(desc)
		case "%VERSION%":
			version, desc = cutLine(desc)
		}
		if pkgbase != nil && version != nil {
			return pkgbase, version
		}
	}
	if pkgbase == nil {
		pkgbase = name
	}
	return pkgbase, version
}

func cutLine(b []byte) (line, rest []byte) {
	line, rest, _ = bytes.Cut(b, []byte{'\n'})
	return line, rest
}
