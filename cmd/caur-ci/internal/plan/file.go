package plan

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/google/renameio/v2"

	"github.com/caur-build/caur/pkg/srcinfo"
)

// FormatVersion of the plan file. It changes with every change of the format: a reader refuses other versions, and in
// its own version every field that it does not know, because to ignore one would build something else than was planned.
const FormatVersion = 1

// maxFile bounds a plan file, in bytes; 10,000 jobs are below 10 MB.
const maxFile = 256 << 20

// VersionError is a plan file of another version.
type VersionError struct {
	File    string
	Version int
}

func (e *VersionError) Error() string {
	return fmt.Sprintf("%s is a plan of version %d, and this caur-ci reads version %d: use the same release of caur-ci for both jobs",
		e.File, e.Version, FormatVersion)
}

// Write writes the plan file: the old file or the whole new one is there, never a part.
func (p *Plan) Write(file string) error {
	data, err := p.Bytes()
	if err != nil {
		return fmt.Errorf("write plan %s: %w", file, err)
	}
	return writeFile(file, data)
}

// Bytes is the content of the plan file.
func (p *Plan) Bytes() ([]byte, error) {
	data, err := json.MarshalIndent(p, "", "  ")
	if err != nil {
		return nil, err
	}
	return append(data, '\n'), nil
}

func writeFile(file string, data []byte) error {
	dir := filepath.Dir(file)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("write %s: %w", file, err)
	}
	write := func() error { return renameio.WriteFile(file, data, 0o644, renameio.WithTempDir(dir)) }
	if info, err := os.Stat(file); err == nil && !info.Mode().IsRegular() {
		// A terminal, a pipe, /dev/null: it takes the text as it is, and must not be replaced by a file.
		write = func() error { return os.WriteFile(file, data, 0o644) }
	}
	if err := write(); err != nil {
		return fmt.Errorf("write %s: %w", file, err)
	}
	return nil
}

// Read reads a plan file and checks it. It may come from a job that is trusted less than the reader, so nothing in it is
// taken for granted; what a job may hold is checked by the queue once more.
func Read(file string) (*Plan, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, fmt.Errorf("read plan: %w", err)
	}
	defer func() { _ = f.Close() }()
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, fmt.Errorf("read plan %s: %w", file, err)
	}
	if len(data) > maxFile {
		return nil, fmt.Errorf("read plan %s: it is larger than %d bytes", file, maxFile)
	}
	return Parse(file, data)
}

// Parse reads the content of a plan file; file is for messages.
func Parse(file string, data []byte) (*Plan, error) {
	var header struct {
		Version *int `json:"version"`
	}
	if err := json.Unmarshal(data, &header); err != nil {
		return nil, fmt.Errorf("%s is no plan: %w", file, describe(data, err))
	}
	if header.Version == nil {
		return nil, fmt.Errorf("%s is no plan: it has no version", file)
	}
	if *header.Version != FormatVersion {
		return nil, &VersionError{File: file, Version: *header.Version}
	}
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.DisallowUnknownFields()
	var p Plan
	if err := decoder.Decode(&p); err != nil {
		return nil, fmt.Errorf("%s is no plan of version %d: %w", file, FormatVersion, describe(data, err))
	}
	if err := p.check(); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return &p, nil
}

// describe adds the line to an error of the JSON decoder.
func describe(data []byte, err error) error {
	var syntax *json.SyntaxError
	var wrongType *json.UnmarshalTypeError
	offset := int64(0)
	switch {
	case errors.As(err, &syntax):
		offset = syntax.Offset
	case errors.As(err, &wrongType):
		offset = wrongType.Offset
	default:
		return err
	}
	line := 1 + bytes.Count(data[:min(int(offset), len(data))], []byte("\n"))
	return fmt.Errorf("line %d: %w", line, err)
}

func (p *Plan) check() error {
	if p.Batch == "" {
		return errors.New("the plan has no batch id")
	}
	for i, job := range p.Jobs {
		if !srcinfo.LegalName(job.Pkgbase) {
			return fmt.Errorf("jobs[%d]: %q is no package name", i, job.Pkgbase)
		}
	}
	if p.Cleanup == nil {
		return nil
	}
	if len(p.Cleanup.Pkgbases) == 0 {
		return ErrEmptyCleanup
	}
	if p.Cleanup.Force {
		return errors.New("cleanup.force: a plan cannot lift the limits of a clean-up")
	}
	for i, pkgbase := range p.Cleanup.Pkgbases {
		if !srcinfo.LegalName(pkgbase) {
			return fmt.Errorf("cleanup.pkgbases[%d]: %q is no package name", i, pkgbase)
		}
	}
	return nil
}
