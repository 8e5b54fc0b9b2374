package builder

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"

	"github.com/caur-build/caur/cmd/caur-exec/internal/container"
)

// OpenEngine makes the engine that the settings name, as Run uses it.
func OpenEngine(ctx context.Context, s Settings) (container.Engine, error) {
	p := findPlaces(s)
	if s.Engine == "none" { // tries overlays out in there
		if err := p.make(); err != nil {
			return nil, err
		}
	}
	c := container.Config{
		Engine: s.Engine, Socket: s.Socket, Pull: s.Pull, Overlay: s.Overlay, Scratch: p.builds, HostPath: p.host, Egress: s.Egress,
	}
	for _, text := range s.EgressAllow {
		network, err := netip.ParsePrefix(text)
		if err != nil {
			return nil, fmt.Errorf("BUILDER_EGRESS_ALLOW: %w", err)
		}
		c.EgressAllow = append(c.EgressAllow, network)
	}
	return container.New(ctx, c)
}

// Directories makes the directories of a builder and names that of builds and that of source caches.
func Directories(s Settings) ([]string, error) {
	p := findPlaces(s)
	if err := p.make(); err != nil {
		return nil, err
	}
	return []string{p.builds, p.caches}, nil
}

// maxInside bounds what RunInside gives, in bytes.
const maxInside = 64 << 10

// RunInside runs a command of executable, "" for this program, where a build would run, and gives what it printed. No
// network and no directory of a build is there. image: that of the database role, which one of the settings wins over.
func RunInside(ctx context.Context, s Settings, engine container.Engine, image, executable string, command []string) ([]byte, error) {
	b := &builder{Settings: s, places: findPlaces(s)}
	if err := b.places.make(); err != nil {
		return nil, err
	}
	scratch, err := os.MkdirTemp(b.places.builds, "doctor-")
	if err != nil {
		return nil, fmt.Errorf("make a directory to run in: %w", err)
	}
	defer os.RemoveAll(scratch)
	if executable == "" {
		if executable, err = os.Executable(); err != nil {
			return nil, fmt.Errorf("find our own program: %w", err)
		}
	}
	out := &capped{left: maxInside}
	code, err := engine.Run(ctx, container.Spec{
		Name: containerName(s.Hostname, int64(os.Getpid())) + "-doctor", Owner: s.Hostname, Image: cmp.Or(s.Image, image),
		Executable: executable, Command: command, Env: b.buildEnv(), Hide: b.hidden(), Scratch: scratch, Network: container.NetworkNone,
	}, out)
	if err != nil {
		return nil, err
	}
	if code != 0 {
		return nil, fmt.Errorf("in a container, caur-exec ended with status %d: %.300q", code, out.text.Bytes())
	}
	return out.text.Bytes(), nil
}

// capped keeps what is written to it, up to a limit.
type capped struct {
	text bytes.Buffer
	left int
}

func (c *capped) Write(p []byte) (int, error) {
	if len(p) > c.left {
		return 0, errors.New("it prints too much")
	}
	c.left -= len(p)
	return c.text.Write(p)
}
