package container

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/client"

	"github.com/caur-build/caur/cmd/caur-exec/internal/egress"
)

// The values of Config.Egress.
const (
	EgressAuto   = "auto"   // the internet only where the engine's machine can filter, with a remark in the log where it cannot
	EgressPublic = "public" // the internet only; a build fails where that cannot be had
	EgressAll    = "all"    // whatever the engine's machine reaches
)

// egressEvery is how often the filter is set again: other programs of the machine may have taken it away.
const egressEvery = 10 * time.Minute

// ensureEgress lets the builds' network reach nothing but the internet, as Config.Egress says. It answers with what is to be
// said in the log.
func (d *docker) ensureEgress(ctx context.Context, spec Spec, network string) (remark string, err error) {
	if d.config.Egress == EgressAll {
		return "", nil
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if now := time.Now(); d.filtered != network || now.After(d.filterAgain) {
		d.filterFault = d.setEgress(ctx, spec, network)
		if ctx.Err() != nil {
			return "", ctx.Err()
		}
		d.filtered, d.filterAgain = network, now.Add(egressEvery)
	}
	switch {
	case d.filterFault == nil:
		return "", nil
	case d.config.Egress == EgressPublic:
		return "", fmt.Errorf("BUILDER_EGRESS=public, but the network of builds cannot be kept from private addresses: %w", d.filterFault)
	}
	return fmt.Sprintf("builds on this machine can reach private addresses, no packet filter could be set: %v", d.filterFault), nil
}

// setEgress starts a container on the engine's own network that sets the filter (package egress) and ends.
func (d *docker) setEgress(ctx context.Context, spec Spec, network string) error {
	info, err := d.api.NetworkInspect(ctx, network, client.NetworkInspectOptions{})
	if err != nil {
		return fmt.Errorf("look at network %s: %w", networkName, err)
	}
	filter := egress.Filter{Allow: d.config.EgressAllow}
	for _, c := range info.Network.IPAM.Config {
		if c.Subnet.Addr().Is4() {
			filter.From = append(filter.From, c.Subnet)
		}
	}
	text, err := json.Marshal(filter)
	if err != nil {
		return err
	}
	setter := Spec{
		Name: spec.Name + "-egress", Owner: spec.Owner, Image: spec.Image, Executable: cmp.Or(d.config.Program, spec.Executable),
		Command: []string{"container-egress"}, Env: []string{egress.EnvName + "=" + string(text)},
	}
	options, err := d.options(setter, "host")
	if err != nil {
		return err
	}
	options.Config.Hostname = "" // the machine's own
	options.HostConfig.CapAdd = []string{"NET_ADMIN"}
	id, err := d.create(ctx, setter.Name, options)
	if err != nil {
		return err
	}
	defer func() { _ = d.remove(context.WithoutCancel(ctx), id) }()
	var out bytes.Buffer
	code, err := d.follow(ctx, id, setter, &out)
	switch {
	case err != nil:
		return err
	case code != 0:
		return fmt.Errorf("%s", strings.TrimSpace(out.String()))
	}
	return nil
}

// create makes a container; one of the same name is what a builder left that was killed.
func (d *docker) create(ctx context.Context, name string, options client.ContainerCreateOptions) (id string, err error) {
	made, err := d.api.ContainerCreate(ctx, options)
	if errdefs.IsConflict(err) {
		if err := d.remove(ctx, name); err != nil {
			return "", err
		}
		made, err = d.api.ContainerCreate(ctx, options)
	}
	if err != nil {
		return "", fmt.Errorf("make container %s: %w", name, err)
	}
	return made.ID, nil
}
