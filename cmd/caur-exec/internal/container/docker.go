package container

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/client"
)

const (
	// ownerLabel marks containers with the builder they belong to.
	ownerLabel = "build.caur.owner"
	// networkName is the bridge that all builds on an engine share; containers on it do not reach each other.
	networkName = "caur-build"
	// pullEvery is how often an image is looked up in its registry (executor.md section 2); after a failure sooner.
	pullEvery   = 2 * time.Hour
	pullRetry   = 10 * time.Minute
	pullLimit   = 20 * time.Minute
	callLimit   = time.Minute // of one call that answers at once
	removeLimit = 2 * time.Minute
)

// docker speaks to a Docker engine or to the compatible socket of podman.
type docker struct {
	config Config
	host   string
	api    *client.Client

	mu      sync.Mutex
	network string               // id of the network, once known
	pulled  map[string]time.Time // image → when to look again

	filtered    string // id of the network that filterFault is about
	filterAgain time.Time
	filterFault error // of the last try to keep builds from private addresses
}

func newDocker(c Config) (*docker, error) {
	switch c.Pull {
	case "", "auto", "never":
	default:
		return nil, fmt.Errorf("BUILDER_PULL=%q: must be auto or never", c.Pull)
	}
	switch c.Egress {
	case "", EgressAuto, EgressPublic, EgressAll:
	default:
		return nil, fmt.Errorf("BUILDER_EGRESS=%q: must be auto, public or all", c.Egress)
	}
	host := socketURL(c)
	api, err := client.New(client.WithHost(host), client.WithUserAgent("caur-exec"))
	if err != nil {
		return nil, fmt.Errorf("DOCKER_SOCKET=%q: %w", c.Socket, err)
	}
	return &docker{config: c, host: host, api: api, pulled: make(map[string]time.Time)}, nil
}

// socketURL is the address of the engine: the one that was set, else the first usual place that exists.
func socketURL(c Config) string {
	if c.Socket != "" {
		if strings.Contains(c.Socket, "://") {
			return c.Socket
		}
		return "unix://" + c.Socket
	}
	places := []string{"/var/run/docker.sock", "/run/docker.sock"}
	if c.Engine == "podman" {
		places = []string{"/run/podman/podman.sock", fmt.Sprintf("/run/user/%d/podman/podman.sock", os.Getuid())}
	}
	for _, p := range places {
		if _, err := os.Stat(p); err == nil {
			return "unix://" + p
		}
	}
	return "unix://" + places[0]
}

func (d *docker) OwnRoot() bool { return true }

func (d *docker) Close() error { return d.api.Close() }

func (d *docker) Check(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, callLimit)
	defer cancel()
	if _, err := d.api.Ping(ctx, client.PingOptions{NegotiateAPIVersion: true}); err != nil {
		return fmt.Errorf("the %s engine does not answer at %s (is it running, may this user open the socket, is DOCKER_SOCKET right?): %w",
			d.config.Engine, d.host, err)
	}
	return nil
}

func (d *docker) Sweep(ctx context.Context, owner string) error {
	ctx, cancel := context.WithTimeout(ctx, removeLimit)
	defer cancel()
	list, err := d.api.ContainerList(ctx, client.ContainerListOptions{
		All: true, Filters: make(client.Filters).Add("label", ownerLabel+"="+owner),
	})
	if err != nil {
		return fmt.Errorf("list the containers of builder %s: %w", owner, err)
	}
	var errs []error
	for _, c := range list.Items {
		errs = append(errs, d.remove(ctx, c.ID))
	}
	return errors.Join(errs...)
}

// remove ends and removes a container; one that is gone already is no error.
func (d *docker) remove(ctx context.Context, id string) error {
	_, err := d.api.ContainerRemove(ctx, id, client.ContainerRemoveOptions{Force: true, RemoveVolumes: true})
	if err != nil && !errdefs.IsNotFound(err) && !errdefs.IsConflict(err) {
		return fmt.Errorf("remove container %s: %w", id, err)
	}
	return nil
}

// ensureImage pulls the image when it is time to. With an image at hand a registry that does not answer is only a remark.
func (d *docker) ensureImage(ctx context.Context, image string) (remark string, err error) {
	if image == "" {
		return "", errors.New("no image: set BUILDER_IMAGE here or with the database role")
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	_, inspectErr := d.api.ImageInspect(ctx, image)
	if inspectErr != nil && !errdefs.IsNotFound(inspectErr) {
		return "", fmt.Errorf("look for image %s: %w", image, inspectErr)
	}
	there := inspectErr == nil
	if d.config.Pull == "never" {
		if !there {
			return "", fmt.Errorf("image %s is not on this machine, and BUILDER_PULL=never: pull or build it", image)
		}
		return "", nil
	}
	if there && time.Now().Before(d.pulled[image]) {
		return "", nil
	}
	err = d.pull(ctx, image)
	switch {
	case err == nil:
		d.pulled[image] = time.Now().Add(pullEvery)
		return "", nil
	case there && ctx.Err() == nil:
		d.pulled[image] = time.Now().Add(pullRetry)
		return fmt.Sprintf("image %s could not be refreshed, the one at hand is used: %v", image, err), nil
	}
	return "", fmt.Errorf("pull image %s: %w", image, err)
}

func (d *docker) pull(ctx context.Context, image string) error {
	ctx, cancel := context.WithTimeoutCause(ctx, pullLimit, fmt.Errorf("it took longer than %v", pullLimit))
	defer cancel()
	stream, err := d.api.ImagePull(ctx, image, client.ImagePullOptions{})
	if err != nil {
		return err
	}
	defer stream.Close()
	return stream.Wait(ctx)
}

// ensureNetwork gives the id of the builds' network. Two builders may make it at the same time; either one will do.
func (d *docker) ensureNetwork(ctx context.Context) (string, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.network != "" {
		if _, err := d.api.NetworkInspect(ctx, d.network, client.NetworkInspectOptions{}); err == nil {
			return d.network, nil
		}
		d.network = ""
	}
	list, err := d.api.NetworkList(ctx, client.NetworkListOptions{Filters: make(client.Filters).Add("name", networkName)})
	if err != nil {
		return "", fmt.Errorf("list networks: %w", err)
	}
	for _, n := range list.Items {
		if n.Name == networkName {
			d.network = n.ID
			return n.ID, nil
		}
	}
	made, err := d.api.NetworkCreate(ctx, networkName, client.NetworkCreateOptions{
		Driver:  "bridge",
		Options: map[string]string{"com.docker.network.bridge.enable_icc": "false"},
	})
	if err != nil {
		return "", fmt.Errorf("make network %s: %w", networkName, err)
	}
	d.network = made.ID
	return made.ID, nil
}
