package builder

import (
	"context"
	"errors"
	"fmt"

	"github.com/caur-build/caur/cmd/caur-exec/internal/landing"
	"github.com/caur-build/caur/pkg/queue"
)

// upload brings the packages to the landing zone.
func (j *job) upload(ctx context.Context) (files []queue.File, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, uploadLimit, fmt.Errorf("the upload took longer than %v", uploadLimit))
	defer cancel()
	sender, err := j.sender()
	if err != nil {
		return nil, fmt.Errorf("upload: %w", err)
	}
	defer func() { err = errors.Join(err, sender.Close()) }()
	for _, name := range j.files {
		j.b.reached(stepUploading, j.lease.Job.Pkgbase)
		file, err := sender.Put(ctx, j.path("taken/"+name), name)
		if err != nil {
			return nil, fmt.Errorf("upload %s: %w", name, err)
		}
		fmt.Fprintf(j.out, "==> caur: delivered %s (%d bytes, SHA-256 %s)\n", file.Name, file.Size, file.SHA256)
		files = append(files, file)
	}
	j.b.reached(stepUploaded, j.lease.Job.Pkgbase)
	return files, nil
}

func (j *job) sender() (landing.Sender, error) {
	return SenderTo(j.b.Settings, j.advert.Landing, landing.PlaceOf(j.lease.Job, j.lease.Token))
}

// SenderTo is the way to a place in the landing zone: a move when it is on this machine, which our own settings or an
// advertised zone without a host say, else SFTP.
func SenderTo(s Settings, at queue.Landing, place landing.Place) (landing.Sender, error) {
	if s.DatabaseHost != "" {
		at.Host = s.DatabaseHost
	}
	if s.DatabasePort != 0 {
		at.Port = s.DatabasePort
	}
	if s.DatabaseUser != "" {
		at.User = s.DatabaseUser
	}
	switch {
	case s.LandingPath != "":
		return landing.NewLocal(s.LandingPath, place)
	case at.Path == "":
		return nil, errors.New("the database role has not told where its landing zone is (LANDING_ZONE_PATH there)")
	case at.Host == "":
		return landing.NewLocal(at.Path, place)
	}
	return landing.NewSFTP(landing.SFTPConfig{
		Host: at.Host, Port: at.Port, User: at.User, Path: at.Path, Key: s.SSHKey, KeyFile: s.SSHKeyFile, KnownHosts: s.KnownHosts,
	}, place)
}
