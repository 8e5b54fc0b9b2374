package publish

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/caur-build/caur/internal/settings"
	"github.com/caur-build/caur/internal/syncdb/pkgtest"
	"github.com/caur-build/caur/internal/testenv"
)

// client is a machine with pacman that trusts one key.
type client struct {
	t    *testing.T
	root string
	conf string
}

// newClient makes a scratch root whose pacman keyring holds the public key of home, if trusted, and demands signatures.
func newClient(t *testing.T, s *station, sigLevel string, trusted bool) *client {
	t.Helper()
	testenv.Need(t, "pacman", "gpg")
	c := &client{t: t, root: t.TempDir()}
	keyring, err := os.MkdirTemp("", "pac") // short: the agent's socket is in it
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = exec.Command("gpgconf", "--homedir", keyring, "--kill", "all").Run()
		os.RemoveAll(keyring)
	})
	if trusted {
		shell(t, `gpg --homedir "$1" --batch --export "$2" | gpg --homedir "$3" --batch --quiet --import &&
			echo "$2:6:" | gpg --homedir "$3" --batch --quiet --import-ownertrust`, s.gpg, s.key, keyring)
	} else {
		shell(t, `gpg --homedir "$1" --batch --quiet --list-keys`, keyring)
	}
	for _, dir := range []string{"var/lib/pacman", "var/cache", "etc"} {
		if err := os.MkdirAll(filepath.Join(c.root, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	c.conf = filepath.Join(c.root, "etc", "pacman.conf")
	text := fmt.Sprintf("[options]\nArchitecture = %s\nSigLevel = %s\nRootDir = %s\nDBPath = %s\nCacheDir = %s\nGPGDir = %s\nLogFile = /dev/null\nHookDir = %s\n[%s]\nServer = file://%s\n",
		arch, sigLevel, c.root, filepath.Join(c.root, "var/lib/pacman"), filepath.Join(c.root, "var/cache"), keyring, filepath.Join(c.root, "etc"), target, s.path(arch))
	if err := os.WriteFile(c.conf, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return c
}

func shell(t *testing.T, script string, args ...string) {
	t.Helper()
	cmd := exec.Command("sh", append([]string{"-ec", script, "sh"}, args...)...)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}

func (c *client) try(args ...string) (string, error) {
	cmd := exec.Command("pacman", append([]string{"--config", c.conf, "--noconfirm"}, args...)...)
	cmd.Env = append(os.Environ(), "LC_ALL=C.UTF-8")
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return string(out) + stderr.String(), err
	}
	return string(out), nil
}

func (c *client) pacman(args ...string) string {
	c.t.Helper()
	out, err := c.try(args...)
	if err != nil {
		c.t.Fatalf("pacman %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return out
}

const helloPKGBUILD = `
pkgbase=hello
pkgname=(hello hello-data)
pkgver=1.5
pkgrel=1
pkgdesc='Says hello'
arch=(x86_64)
url=https://example.org/
license=(GPL)
package_hello() {
  depends=(hello-data)
  install -d "$pkgdir/usr/bin"
  printf '#!/bin/sh\necho hello\n' > "$pkgdir/usr/bin/hello"
  chmod 755 "$pkgdir/usr/bin/hello"
}
package_hello-data() { arch=(any); install -d "$pkgdir/usr/share/greeting"; echo data > "$pkgdir/usr/share/greeting/data"; }
`

// The whole way: packages of makepkg, signed by gpg with its agent, installed by pacman that demands signatures.
func TestPacmanInstallsWhatWasPublished(t *testing.T) {
	t.Parallel()
	s := newStation(t)
	signer, err := NewGPG(t.Context(), s.gpg, "", settings.Secret{})
	if err != nil {
		t.Fatal(err)
	}
	if signer.Key() != s.key {
		t.Errorf("gpg signs with %s, the key is %s", signer.Key(), s.key)
	}
	s.o.Signer, s.o.SignDB = signer, true
	packages := pkgtest.Makepkg(t, helloPKGBUILD)
	if _, err := s.publisher().Publish(t.Context(), s.deliver("hello", packages...)); err != nil {
		t.Fatal(err)
	}
	s.check("hello 1.5-1", "hello-data 1.5-1")
	c := newClient(t, s, "Required DatabaseRequired", true)
	c.pacman("-Sy")
	if info := c.pacman("-Si", "hello"); !strings.Contains(info, "Says hello") || !strings.Contains(info, "Tess Packager") || !strings.Contains(info, "hello-data") {
		t.Errorf("pacman -Si:\n%s", info)
	}
	c.pacman("-Fy")
	if files := c.pacman("-Fl", "hello"); files != "hello usr/\nhello usr/bin/\nhello usr/bin/hello\n" {
		t.Errorf("pacman -Fl: %q", files)
	}
	if owner := c.pacman("-F", "/usr/share/greeting/data"); !strings.Contains(owner, "hello-data 1.5-1") {
		t.Errorf("pacman -F: %q", owner)
	}
	c.pacman("-S", "hello")
	if out, err := exec.Command(filepath.Join(c.root, "usr/bin/hello")).Output(); err != nil || string(out) != "hello\n" {
		t.Errorf("the installed program says %q, %v", out, err)
	}
	if have := c.pacman("-Q"); have != "hello 1.5-1\nhello-data 1.5-1\n" {
		t.Errorf("pacman -Q: %q", have)
	}

	s.publish("hello", pkgtest.Spec{Name: "hello", Version: "1.5-2"}, pkgtest.Spec{Name: "hello-data", Version: "1.5-2"})
	c.pacman("-Syu")
	if have := c.pacman("-Q"); have != "hello 1.5-2\nhello-data 1.5-2\n" {
		t.Errorf("after the update: %q", have)
	}
}

func TestPacmanTrustsNobodyElse(t *testing.T) {
	t.Parallel()
	s := newStation(t)
	s.o.SignDB = true
	s.publish("foo", pkgtest.Spec{Name: "foo"})
	if out, err := newClient(t, s, "Required DatabaseRequired", false).try("-Sy"); err == nil {
		t.Errorf("pacman takes a database of an unknown key:\n%s", out)
	}
	s.o.SignDB = false
	s.publish("foo", pkgtest.Spec{Name: "foo", Version: "2-1"})
	c := newClient(t, s, "Required DatabaseOptional", true)
	c.pacman("-Sy", "foo")
	if out, err := newClient(t, s, "Required DatabaseRequired", true).try("-Sy"); err == nil {
		t.Errorf("pacman takes an unsigned database:\n%s", out)
	}
	// Someone exchanges a package on the mirror.
	data, err := os.ReadFile(s.make(pkgtest.Spec{Name: "foo", Version: "2-1", Content: "evil"}))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(s.path(arch, "foo-2-1-any.pkg.tar.zst"), data, 0o644); err != nil {
		t.Fatal(err)
	}
	if out, err := newClient(t, s, "Required DatabaseOptional", true).try("-Sy", "foo"); err == nil {
		t.Errorf("pacman installs an exchanged package:\n%s", out)
	}
}

// Readers that come at any time see a database whose packages are all there.
func TestPacmanReadsWhileItIsPublished(t *testing.T) {
	t.Parallel()
	s := newStation(t)
	s.publish("foo", pkgtest.Spec{Name: "foo", Version: "0-1"})
	c := newClient(t, s, "Required DatabaseOptional", true)
	stop, done := make(chan struct{}), make(chan error, 1)
	go func() {
		reads := 0
		for {
			select {
			case <-stop:
				if reads == 0 {
					done <- errors.New("nothing was read")
				}
				close(done)
				return
			default:
			}
			if out, err := c.try("-Syy"); err != nil {
				done <- fmt.Errorf("pacman -Syy: %w\n%s", err, out)
				return
			}
			reads++
		}
	}()
	for n := range 15 {
		s.publish("foo", pkgtest.Spec{Name: "foo", Version: fmt.Sprintf("%d-1", n+1)}, pkgtest.Spec{Name: fmt.Sprintf("foo-%d", n)})
	}
	close(stop)
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestSignersSayWhatIsWrong(t *testing.T) {
	t.Parallel()
	home, key := testenv.GPGHome(t)
	empty, err := os.MkdirTemp("", "gpg")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(empty)
	if _, err := NewGPG(t.Context(), empty, "", settings.Secret{}); err == nil || !strings.Contains(err.Error(), "no usable secret signing key in GPG_PATH") {
		t.Errorf("an empty home: %v", err)
	}
	if _, err := NewGPG(t.Context(), filepath.Join(empty, "none"), "", settings.Secret{}); err == nil || !strings.Contains(err.Error(), "is no directory") {
		t.Errorf("no home: %v", err)
	}
	if _, err := NewGPG(t.Context(), home, "nobody@example.org", settings.Secret{}); err == nil || !strings.Contains(err.Error(), `"nobody@example.org"`) {
		t.Errorf("an unknown key: %v", err)
	}
	g, err := NewGPG(t.Context(), home, key[len(key)-16:], settings.Secret{})
	if err != nil || g.Key() != key {
		t.Errorf("a key by its id: %v", err)
	}
	if _, err := g.Sign(t.Context(), filepath.Join(empty, "none")); err == nil || !strings.Contains(err.Error(), key) {
		t.Errorf("signing what is not there: %v", err)
	}
	for what, path := range map[string]string{"not there": filepath.Join(empty, "none"), "a public key": publicKey(t, home), "text": helloFile(t)} {
		if _, err := NewKeyFile(path, settings.Secret{}); err == nil {
			t.Errorf("a key file that is %s is accepted", what)
		}
	}
}

func publicKey(t *testing.T, home string) string {
	path := filepath.Join(t.TempDir(), "key.asc")
	shell(t, `gpg --homedir "$1" --batch --armor --export > "$2"`, home, path)
	return path
}

func helloFile(t *testing.T) string {
	path := filepath.Join(t.TempDir(), "hello")
	if err := os.WriteFile(path, []byte("hello"), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// A key with a passphrase is refused without it, and never asks.
func TestPassphrases(t *testing.T) {
	t.Parallel()
	home, err := os.MkdirTemp("", "gpg")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(home) })
	forget := func() { shell(t, `gpgconf --homedir "$1" --kill all`, home) }
	t.Cleanup(forget)
	const secret = "correct horse"
	shell(t, `gpg --homedir "$1" --batch --quiet --pinentry-mode loopback --passphrase "$2" --quick-generate-key "L <l@example.org>" rsa2048 sign never`, home, secret)
	forget()
	_, err = NewGPG(t.Context(), home, "", settings.Secret{})
	if err == nil || !strings.Contains(err.Error(), "has a passphrase and the agent does not hold it") {
		t.Errorf("without passphrase: %v", err)
	}
	_, err = NewGPG(t.Context(), home, "", settings.NewSecret("wrong"))
	if err == nil || !strings.Contains(err.Error(), "is not the passphrase") || strings.Contains(err.Error(), "wrong") {
		t.Errorf("wrong passphrase: %v", err)
	}
	if _, err := NewGPG(t.Context(), home, "", settings.NewSecret(secret)); err != nil {
		t.Errorf("right passphrase: %v", err)
	}
	if _, err := NewGPG(t.Context(), home, "", settings.Secret{}); err != nil {
		t.Errorf("the agent holds it now: %v", err)
	}

	path := filepath.Join(t.TempDir(), "key")
	shell(t, `gpg --homedir "$1" --batch --quiet --pinentry-mode loopback --passphrase "$2" --armor --output "$3" --export-secret-keys`, home, secret, path)
	if _, err := NewKeyFile(path, settings.NewSecret("wrong")); err == nil || !strings.Contains(err.Error(), "has a passphrase that GPG_PASSPHRASE is not") {
		t.Errorf("key file, wrong passphrase: %v", err)
	}
	k, err := NewKeyFile(path, settings.NewSecret(secret))
	if err != nil {
		t.Fatal(err)
	}
	file, sig := helloFile(t), filepath.Join(t.TempDir(), "sig")
	signature, err := k.Sign(t.Context(), file)
	if err == nil {
		err = os.WriteFile(sig, signature, 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
	shell(t, `gpg --homedir "$1" --batch --quiet --verify "$2" "$3"`, home, sig, file)
}

func TestFirstSigningKey(t *testing.T) {
	t.Parallel()
	const list = "sec:e:255:22:AAAA:1:2::u:::scSC:::+::ed25519:::0:\nfpr:::::::::EXPIRED:\n" +
		"sec:u:255:22:BBBB:1:::u:::cC:::+::ed25519:::0:\nfpr:::::::::CERTIFIES:\nssb:u:255:18:CCCC:1::::::e:::+::cv25519::\nfpr:::::::::SUBKEY:\n" +
		"sec:u:255:22:DDDD:1:::u:::scSCD:::+::ed25519:::0:\nfpr:::::::::DISABLED:\n" +
		"sec:u:255:22:EEEE:1:::u:::cSC:::+::ed25519:::0:\nfpr:::::::::GOOD:\n"
	if got := firstSigningKey([]byte(list)); got != "GOOD" {
		t.Errorf("key %q", got)
	}
	if got := firstSigningKey(nil); got != "" {
		t.Errorf("key %q of none", got)
	}
	keys := strings.SplitAfter(list, "\n")
	slices.Reverse(keys)
	if got := firstSigningKey([]byte(strings.Join(keys[1:], ""))); strings.Contains(got, "SUBKEY") {
		t.Errorf("key %q", got)
	}
}
