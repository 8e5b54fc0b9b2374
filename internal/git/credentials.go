package git

import (
	"net/url"
	"regexp"
	"strconv"
	"strings"
)

// credentials are what a URL holds of user and password. git gets them in its environment through a credential helper:
// its arguments, and those of its own children, can be read by every user of the machine.
type credentials struct {
	user, password string
	dirty, clean   string // the URL up to its host, with and without them
}

// separate splits an http(s) URL into one without user and password, and these. Other addresses (paths, ssh, the
// scp-like form) have no password and stay as they are.
func separate(address string) (clean string, c credentials) {
	u, err := url.Parse(address)
	if err != nil || u.User == nil || u.Scheme != "http" && u.Scheme != "https" {
		return address, credentials{}
	}
	c.user = u.User.Username()
	c.password, _ = u.User.Password()
	scheme, rest, _ := strings.Cut(address, "://")
	authority, _, _ := strings.Cut(rest, "/")
	c.dirty = scheme + "://" + authority + "/"
	c.clean = u.Scheme + "://" + u.Host + "/"
	u.User = nil
	return u.String(), c
}

// helper answers git's question for the credentials of one host. It is run by git's shell, and the values reach it in
// its environment.
const helper = `!f() { test "$1" = get && printf 'username=%s\npassword=%s\n' "$CAUR_GIT_USERNAME" "$CAUR_GIT_PASSWORD"; }; f`

// env is git's configuration for the credentials, as environment. A remote that is known by its name still holds the
// URL with the credentials; insteadOf makes git use the clean one.
func (c credentials) env() []string {
	if c.clean == "" {
		return nil
	}
	config := [][2]string{
		{"credential." + c.clean + ".helper", ""}, // forgets the helpers of the configuration
		{"credential." + c.clean + ".helper", helper},
		{"url." + c.clean + ".insteadOf", c.dirty},
	}
	env := []string{
		"CAUR_GIT_USERNAME=" + c.user, "CAUR_GIT_PASSWORD=" + c.password,
		"GIT_CONFIG_COUNT=" + strconv.Itoa(len(config)),
	}
	for i, kv := range config {
		n := strconv.Itoa(i)
		env = append(env, "GIT_CONFIG_KEY_"+n+"="+kv[0], "GIT_CONFIG_VALUE_"+n+"="+kv[1])
	}
	return env
}

var userInfo = regexp.MustCompile(`([A-Za-z][A-Za-z0-9+.-]*://)([^/\s'"]+)@`)

// scrub removes user and password from every URL in a text, and the password wherever it stands.
func (c credentials) scrub(text string) string {
	text = scrub(text)
	for _, s := range []string{c.password, url.QueryEscape(c.password), url.PathEscape(c.password)} {
		if s != "" {
			text = strings.ReplaceAll(text, s, "***")
		}
	}
	if c.password == "" && len(c.user) > 8 { // a token in the place of the user
		text = strings.ReplaceAll(text, c.user, "***")
	}
	return text
}

// scrub removes user and password from every URL in a text. The user alone of an ssh URL is no secret.
func scrub(text string) string {
	return userInfo.ReplaceAllStringFunc(text, func(m string) string {
		scheme, user, _ := strings.Cut(m, "://")
		if strings.HasSuffix(scheme, "ssh") && !strings.Contains(user, ":") {
			return m
		}
		return scheme + "://***@"
	})
}
