package redisconn

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"strconv"
	"strings"
)

type kind int

const (
	kindSingle kind = iota
	kindSentinel
	kindCluster
)

// target is where and how to connect.
type target struct {
	kind             kind
	network          string   // tcp or unix
	addrs            []string // HOST:PORT, or one path
	user, password   string
	db               int
	master           string
	sentinelUser     string
	sentinelPassword string
	tls              *tls.Config
}

// String names the target without anything secret.
func (t *target) String() string {
	where := strings.Join(t.addrs, ",")
	switch {
	case t.kind == kindSentinel:
		where = fmt.Sprintf("master %s of the sentinels %s", t.master, where)
	case t.kind == kindCluster:
		where = "cluster " + where
	case t.network == "unix":
		where = "socket " + where
	}
	if t.tls != nil {
		where += " (TLS)"
	}
	return where
}

const forms = "redis://HOST:PORT, rediss://HOST:PORT, unix:///PATH, redis-sentinel://HOST:PORT,HOST:PORT/MASTER or redis-cluster://HOST:PORT,HOST:PORT"

// badURL never holds the URL or an error about it: both can show the password.
func badURL(what string) error {
	return fmt.Errorf("%w: REDIS_URL: %s; it must be like %s", ErrConfig, what, forms)
}

// parse makes a target of the settings.
func parse(c Config) (*target, error) {
	t := &target{network: "tcp", user: c.Username, password: c.Password.Reveal()}
	if c.URL.IsZero() {
		if c.Port < 1 || c.Port > 65535 {
			return nil, fmt.Errorf("%w: REDIS_PORT=%d is no port", ErrConfig, c.Port)
		}
		t.addrs = []string{net.JoinHostPort(c.Host, strconv.Itoa(c.Port))}
		if c.TLSCA == "" && c.TLSCert == "" {
			return t, nil
		}
		return t, t.setTLS(c, url.Values{})
	}
	scheme, rest, ok := strings.Cut(c.URL.Reveal(), "://")
	if !ok {
		return nil, badURL("there is no ://")
	}
	// net/url refuses several hosts, so only the rest of the address is left to it.
	rest, rawQuery, _ := strings.Cut(rest, "?")
	query, err := url.ParseQuery(rawQuery)
	if err != nil {
		return nil, badURL("what follows the ? is not NAME=VALUE&…")
	}
	authority, path, _ := strings.Cut(rest, "/")
	hosts, err := t.credentials(authority)
	if err != nil {
		return nil, err
	}
	if err := t.place(scheme, hosts, path, query); err != nil {
		return nil, err
	}
	if err := known(query); err != nil {
		return nil, err
	}
	if scheme == "rediss" || query.Get("tls") == "true" {
		return t, t.setTLS(c, query)
	}
	return t, nil
}

// credentials takes USER:PASSWORD@ off the authority of the URL.
func (t *target) credentials(authority string) (hosts string, err error) {
	i := strings.LastIndex(authority, "@")
	if i < 0 {
		return authority, nil
	}
	rawUser, rawPassword, hasPassword := strings.Cut(authority[:i], ":")
	user, err := url.PathUnescape(rawUser)
	if err != nil {
		return "", badURL("the user has a % that is no escape")
	}
	password, err := url.PathUnescape(rawPassword)
	if err != nil {
		return "", badURL("the password has a % that is no escape: write it as %25")
	}
	t.user = user
	if hasPassword {
		t.password = password
	}
	return authority[i+1:], nil
}

// place fills in what the scheme decides.
func (t *target) place(scheme, hosts, path string, query url.Values) error {
	db := query.Get("db")
	var err error
	switch scheme {
	case "redis", "rediss":
		if strings.Contains(hosts, ",") {
			return badURL("it has several hosts")
		}
		t.addrs, err = addresses(hosts, "6379")
		if path != "" {
			db = path
		}
	case "unix":
		if hosts != "" || path == "" {
			return badURL("the path of a socket begins after unix://")
		}
		t.network, t.addrs = "unix", []string{"/" + path}
	case "redis-sentinel":
		t.kind = kindSentinel
		t.sentinelUser, t.sentinelPassword = query.Get("sentinel_username"), query.Get("sentinel_password")
		t.addrs, err = addresses(hosts, "26379")
		master, pathDB, _ := strings.Cut(path, "/")
		if t.master = master; master == "" {
			return badURL("the name of the master is missing after the hosts")
		}
		if pathDB != "" {
			db = pathDB
		}
	case "redis-cluster":
		t.kind = kindCluster
		t.addrs, err = addresses(hosts, "6379")
		if path != "" || db != "" {
			return badURL("a cluster has only one database")
		}
	default:
		return badURL("the scheme is unknown")
	}
	if err != nil || db == "" {
		return err
	}
	if t.db, err = strconv.Atoi(db); err != nil || t.db < 0 {
		return badURL("the number of the database is not a number")
	}
	return nil
}

// addresses splits HOST[:PORT],…
func addresses(hosts, port string) ([]string, error) {
	var out []string
	for h := range strings.SplitSeq(hosts, ",") {
		host, p := h, port
		if strings.HasPrefix(h, "[") && strings.HasSuffix(h, "]") {
			host = h[1 : len(h)-1]
		} else if strings.Contains(h, ":") {
			var err error
			if host, p, err = net.SplitHostPort(h); err != nil {
				return nil, badURL("a host is not HOST or HOST:PORT")
			}
		}
		if n, err := strconv.Atoi(p); err != nil || n < 1 || n > 65535 {
			return nil, badURL("a port is no port")
		}
		if host == "" {
			return nil, badURL("a host is missing")
		}
		out = append(out, net.JoinHostPort(host, p))
	}
	return out, nil
}

// known refuses misspelt options: a "ca" that is not read would be a connection to anyone.
func known(query url.Values) error {
	for name := range query {
		switch name {
		case "db", "tls", "ca", "cert", "key", "servername", "sentinel_username", "sentinel_password":
		default:
			return badURL("it has an option that is unknown; known are db, tls, ca, cert, key, servername, sentinel_username, sentinel_password")
		}
	}
	return nil
}

// setTLS reads the certificates. Options of the URL win.
func (t *target) setTLS(c Config, query url.Values) error {
	or := func(name, other string) string {
		if v := query.Get(name); v != "" {
			return v
		}
		return other
	}
	ca, cert, key := or("ca", c.TLSCA), or("cert", c.TLSCert), or("key", c.TLSKey)
	conf := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: query.Get("servername")}
	if ca != "" {
		pem, err := os.ReadFile(ca)
		if err != nil {
			return fmt.Errorf("%w: REDIS_TLS_CA: %w", ErrConfig, err)
		}
		conf.RootCAs = x509.NewCertPool()
		if !conf.RootCAs.AppendCertsFromPEM(pem) {
			return fmt.Errorf("%w: REDIS_TLS_CA: %s holds no certificate in PEM", ErrConfig, ca)
		}
	}
	if (cert == "") != (key == "") {
		return fmt.Errorf("%w: REDIS_TLS_CERT and REDIS_TLS_KEY belong together, one is missing", ErrConfig)
	}
	if cert != "" {
		pair, err := tls.LoadX509KeyPair(cert, key)
		if err != nil {
			return errors.Join(fmt.Errorf("%w: REDIS_TLS_CERT and REDIS_TLS_KEY", ErrConfig), err)
		}
		conf.Certificates = []tls.Certificate{pair}
	}
	t.tls = conf
	return nil
}
