package nsinit

import (
	"slices"
	"strings"
	"testing"
)

func TestDisksWithProgramsAreLaidUnderTheBuild(t *testing.T) {
	mountinfo := `21 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw
22 21 0:20 / /proc rw - proc proc rw
30 21 254:1 / /usr ro shared:2 - erofs /dev/vdb ro
31 30 0:40 / /usr ro - overlay sysext ro,lowerdir=/usr
32 21 254:2 / /var rw - btrfs /dev/vdc rw
33 32 254:3 / /var/lib/pacman rw - ext4 /dev/vdd rw
34 21 254:4 / /home rw - ext4 /dev/vde rw
35 32 0:50 / /var/lib/docker/overlay2/0123/merged rw - overlay overlay rw
36 32 0:51 / /var/cache/caur/docker/data/overlay2/4567/merged rw - overlay overlay rw
37 32 0:52 / /srv/engine/overlay2/89/merged rw - overlay overlay rw
38 21 0:53 / /opt/engine/overlay/ab/merged rw - overlay overlay rw
39 32 7:0 / /var/lib/containers/storage/loop rw - xfs /dev/loop0 rw
40 21 254:5 / /optional rw - ext4 /dev/vdf rw
41 21 0:54 / /etc/tmp rw - tmpfs tmpfs rw
short
`
	want := []string{"/usr", "/var", "/var/lib/pacman"}
	if got := separateMounts(strings.NewReader(mountinfo)); !slices.Equal(got, want) {
		t.Errorf("%q, not %q", got, want)
	}
}
