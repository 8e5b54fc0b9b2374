package builder

import (
	"cmp"
	"context"
	"errors"
	"os"
	"path/filepath"

	"github.com/caur-build/caur/cmd/caur-exec/internal/landing"
	"github.com/caur-build/caur/pkg/queue"
)

// upload puts the packages of the build into the landing zone. It may be repeated.
func (j *job) upload(ctx context.Context) (files []queue.File, err error) {
	names, err := j.outputs()
	if err != nil {
		return nil, err
	}
	sender, err := j.sender()
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, sender.Close()) }()
	for _, name := range names {
		file, err := sender.Put(ctx, filepath.Join(j.dir, "out", name), name)
		if err != nil {
			return nil, err
		}
		files = append(files, file)
	}
	return files, nil
}

// sender moves when the landing zone is on this machine, else it uploads over SFTP.
func (j *job) sender() (landing.Sender, error) {
	place := landing.PlaceOf(j.lease.Job, j.lease.Token)
	host := cmp.Or(j.s.DatabaseHost, j.advert.Landing.Host)
	if j.s.LandingZone != "" {
		return landing.NewLocal(j.s.LandingZone, place)
	}
	if host == "" {
		if info, err := os.Stat(j.advert.Landing.Path); err != nil || !info.IsDir() {
			return nil, errors.New("the database role tells no host of its landing zone, and its path is not on this machine: set DATABASE_HOST there or here")
		}
		return landing.NewLocal(j.advert.Landing.Path, place)
	}
	return landing.NewSFTP(landing.SFTPConfig{
		Host: host, Port: cmp.Or(j.s.DatabasePort, j.advert.Landing.Port), User: cmp.Or(j.s.DatabaseUser, j.advert.Landing.User),
		Path: j.advert.Landing.Path, KeyFile: j.s.KeyFile, KnownHosts: j.s.KnownHosts,
	}, place)
}
