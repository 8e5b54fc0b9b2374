package publish

import (
	"bufio"
	"bytes"
	"context"
	"crypto"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/packet"

	"github.com/caur-build/caur/internal/childproc"
	"github.com/caur-build/caur/internal/settings"
)

// Signer makes binary detached OpenPGP signatures. It may be used by several goroutines.
type Signer interface {
	// Sign returns the signature of the file at path.
	Sign(ctx context.Context, path string) ([]byte, error)
	// Key is the fingerprint of the key, in capitals.
	Key() string
}

// GPG signs with the gpg program and the agent of a GnuPG home.
type GPG struct {
	home, key  string
	passphrase settings.Secret
}

// NewGPG finds the secret key in the GnuPG home: key (fingerprint, key id or address) or, when it is empty, the first
// that can sign. passphrase may be empty: then the key has none, or the agent holds it. It makes a trial signature,
// so that a missing or locked key is known at once and not when a package waits.
func NewGPG(ctx context.Context, home, key string, passphrase settings.Secret) (*GPG, error) {
	g := &GPG{home: home, passphrase: passphrase}
	if st, err := os.Stat(home); err != nil || !st.IsDir() {
		return nil, fmt.Errorf("GPG_PATH: %s is no directory: put a GnuPG home with the secret signing key there", home)
	}
	args := []string{"--with-colons", "--list-secret-keys"}
	if key != "" {
		args = append(args, "--", key)
	}
	list, err := g.gpg(ctx, nil, args...)
	if err != nil && key == "" {
		return nil, fmt.Errorf("list secret keys in GPG_PATH: %w", err)
	}
	if g.key = firstSigningKey(list); g.key == "" {
		what := "no usable secret signing key"
		if key != "" {
			what = fmt.Sprintf("no usable secret signing key %q", key)
		}
		return nil, fmt.Errorf("%s in GPG_PATH (%s): import one with gpg --homedir %s --import, and check its expiry", what, home, home)
	}
	if err := g.trial(ctx); err != nil {
		return nil, err
	}
	return g, nil
}

// Key is the fingerprint of the primary key.
func (g *GPG) Key() string { return g.key }

func (g *GPG) trial(ctx context.Context) error {
	dir, err := os.MkdirTemp("", "caur-sign-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	in := dir + "/trial"
	if err := os.WriteFile(in, []byte("trial\n"), 0o600); err != nil {
		return err
	}
	_, err = g.Sign(ctx, in)
	return err
}

// Sign runs gpg once.
func (g *GPG) Sign(ctx context.Context, path string) ([]byte, error) {
	args := []string{"--pinentry-mode", "error"}
	var stdin io.Reader
	if secret := g.passphrase.Reveal(); secret != "" {
		args = []string{"--pinentry-mode", "loopback", "--passphrase-fd", "0"}
		stdin = strings.NewReader(secret + "\n")
	}
	args = append(args, "--local-user", g.key, "--no-armor", "--output", "-", "--detach-sign", "--", path)
	signature, err := g.gpg(ctx, stdin, args...)
	var exit *childproc.ExitError
	if errors.As(err, &exit) && exit.Cause == nil {
		switch {
		case strings.Contains(exit.Stderr, "No pinentry"):
			return nil, fmt.Errorf("signing key %s has a passphrase and the agent does not hold it: give it as GPG_PASSPHRASE_FILE, or sign once by hand with gpg --homedir %s: %w", g.key, g.home, err)
		case strings.Contains(exit.Stderr, "Bad passphrase"):
			return nil, fmt.Errorf("GPG_PASSPHRASE is not the passphrase of signing key %s: %w", g.key, err)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("sign with key %s: %w", g.key, err)
	}
	return signature, nil
}

func (g *GPG) gpg(ctx context.Context, stdin io.Reader, args ...string) ([]byte, error) {
	return childproc.Output(ctx, childproc.Cmd{
		Path:  "gpg",
		Args:  append([]string{"--batch", "--no-tty", "--quiet"}, args...),
		Env:   childproc.MinimalEnv("GNUPGHOME=" + g.home),
		Stdin: stdin,
	})
}

// firstSigningKey returns the fingerprint of the first secret key that gpg holds usable for signatures: colon format
// of doc/DETAILS, field 2 validity, 12 capabilities (capital S: of the key as a whole).
func firstSigningKey(list []byte) string {
	usable := false
	for s := bufio.NewScanner(bytes.NewReader(list)); s.Scan(); {
		f := strings.Split(s.Text(), ":")
		if len(f) < 12 && f[0] != "fpr" {
			continue
		}
		switch f[0] {
		case "sec":
			usable = strings.Contains(f[11], "S") && !strings.Contains(f[11], "D") && !strings.ContainsAny(f[1], "ider")
		case "fpr":
			if usable && len(f) > 9 {
				return f[9]
			}
		}
	}
	return ""
}

// KeyFile signs in this process with a secret key from a file.
type KeyFile struct {
	entity *openpgp.Entity
}

// NewKeyFile reads a secret key, armoured or binary, as gpg --export-secret-keys writes it.
func NewKeyFile(path string, passphrase settings.Secret) (*KeyFile, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read signing key: %w", err)
	}
	ring, err := openpgp.ReadKeyRing(bytes.NewReader(data))
	if bytes.Contains(data, []byte("-----BEGIN PGP")) {
		ring, err = openpgp.ReadArmoredKeyRing(bytes.NewReader(data))
	}
	if err != nil {
		return nil, fmt.Errorf("signing key %s is not an OpenPGP key: %w", path, err)
	}
	for _, e := range ring {
		if e.PrivateKey == nil {
			continue
		}
		if e.PrivateKey.Encrypted {
			if err := e.DecryptPrivateKeys([]byte(passphrase.Reveal())); err != nil {
				return nil, fmt.Errorf("signing key %s has a passphrase that GPG_PASSPHRASE is not: %w", path, err)
			}
		}
		k := &KeyFile{entity: e}
		if err := openpgp.DetachSign(io.Discard, e, strings.NewReader("trial\n"), k.config()); err != nil {
			return nil, fmt.Errorf("signing key %s cannot sign: %w", path, err)
		}
		return k, nil
	}
	return nil, fmt.Errorf("signing key %s holds no secret key: export it with gpg --export-secret-keys", path)
}

// Key is the fingerprint of the primary key.
func (k *KeyFile) Key() string { return fmt.Sprintf("%X", k.entity.PrimaryKey.Fingerprint) }

func (k *KeyFile) config() *packet.Config {
	return &packet.Config{DefaultHash: crypto.SHA512}
}

// Sign hashes the file in this process.
func (k *KeyFile) Sign(ctx context.Context, path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("sign: %w", err)
	}
	defer f.Close()
	var sig bytes.Buffer
	if err := openpgp.DetachSign(&sig, k.entity, &untilDone{ctx, f}, k.config()); err != nil {
		return nil, fmt.Errorf("sign with key %s: %w", k.Key(), err)
	}
	return sig.Bytes(), nil
}

// noSigner is that of a Publisher that only reads.
type noSigner struct{}

func (noSigner) Key() string { return "" }
func (noSigner) Sign(context.Context, string) ([]byte, error) {
	return nil, errors.New("no signing key is configured: set GPG_PATH or SIGNING_KEY_FILE")
}

type untilDone struct {
	ctx context.Context
	r   io.Reader
}

func (u *untilDone) Read(b []byte) (int, error) {
	if u.ctx.Err() != nil {
		return 0, context.Cause(u.ctx)
	}
	return u.r.Read(b)
}
