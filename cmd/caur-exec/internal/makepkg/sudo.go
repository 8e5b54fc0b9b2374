package makepkg

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"slices"
)

// allowSudo lets the build user become root, for a package that asks for it (BUILDER_PRIVILEGES). Only in a root file
// system that is thrown away: nobody becomes root of a machine that way. Whether the program may change its user is the
// container's decision, and so the builder's.
func (b *build) allowSudo(ctx context.Context) error {
	if !slices.Contains(b.config.Privileges, Sudo) {
		return nil
	}
	if !b.OwnRoot || !b.user.switched {
		b.say("warning: BUILDER_PRIVILEGES=sudo has no effect here: the root file system is that of the machine")
		return nil
	}
	if _, err := exec.LookPath("sudo"); err != nil && b.canInstall() {
		if err := b.pacman(ctx, "-S", "--needed", "--asdeps", "--noconfirm", "--", "sudo"); err != nil {
			return fmt.Errorf("install sudo (BUILDER_PRIVILEGES): %w", err)
		}
	}
	const dir = "/etc/sudoers.d"
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return fmt.Errorf("allow sudo (BUILDER_PRIVILEGES): %w", err)
	}
	rule := b.user.name + " ALL=(ALL:ALL) NOPASSWD: ALL\n"
	if err := os.WriteFile(dir+"/caur", []byte(rule), 0o440); err != nil {
		return fmt.Errorf("allow sudo (BUILDER_PRIVILEGES): %w", err)
	}
	return nil
}
