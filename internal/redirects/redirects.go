// Package redirects decides which HTTP redirects are followed: a bounded number, to HTTP servers only, never from https to
// http, and without the secrets of one server on the way to another.
package redirects

import (
	"fmt"
	"net/http"
)

// Error says why a redirect was not followed. It is a property of the server: another try gives the same.
type Error struct{ text string }

func (e *Error) Error() string { return e.text }

// secrets are headers that a server asks for and no other one may see. net/http takes care of Authorization and cookies, but
// not where only the port differs, nor of the names that forges have made up.
var secrets = [...]string{"Authorization", "Cookie", "Private-Token", "Job-Token"}

// AtMost gives a CheckRedirect for http.Client that follows up to n redirects. What it refuses is an *Error.
func AtMost(n int) func(req *http.Request, via []*http.Request) error {
	return func(req *http.Request, via []*http.Request) error {
		from, to := via[len(via)-1].URL.Scheme, req.URL.Scheme
		switch {
		case len(via) > n:
			return &Error{fmt.Sprintf("is redirected more than %d times", n)}
		case to != "http" && to != "https":
			return &Error{fmt.Sprintf("is redirected to a %s address, which is not followed", to)}
		case from == "https" && to == "http":
			return &Error{"is redirected from https to http, which is not followed"}
		}
		if req.URL.Host != via[0].URL.Host {
			for _, name := range secrets {
				req.Header.Del(name)
			}
		}
		return nil
	}
}
