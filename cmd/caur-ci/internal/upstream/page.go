package upstream

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/caur-build/caur/cmd/caur-ci/internal/download"
)

// page makes the request for the option url.
func (e Entry) page() (download.Request, error) {
	address, err := e.text("url")
	if err == nil && address == "" {
		err = errors.New("the option url is missing")
	}
	if err != nil {
		return download.Request{}, err
	}
	agent, err := e.text("user_agent")
	if err != nil {
		return download.Request{}, err
	}
	r := download.Request{URL: address, Header: http.Header{}}
	if agent != "" {
		r.Header.Set("User-Agent", agent)
	}
	return r, nil
}

// required is an option that must be a regular expression.
func (e Entry) required(key string) (*pattern, error) {
	p, err := e.pattern(key)
	if p == nil && err == nil {
		err = fmt.Errorf("the option %s is missing", key)
	}
	return p, err
}

func (c *Checker) regex(ctx context.Context, e Entry) ([]candidate, error) {
	find, err := e.required("regex")
	if err != nil {
		return nil, err
	}
	r, err := e.page()
	if err != nil {
		return nil, err
	}
	encoding, err := e.text("encoding")
	if err != nil {
		return nil, err
	}
	a, err := c.Web.Get(ctx, r)
	if err != nil {
		return nil, err
	}
	text, err := decode(a.Body, encoding)
	if err != nil {
		return nil, err
	}
	found, err := find.findAll(text)
	if err == nil && len(found) == 0 {
		err = fmt.Errorf("%s has nothing that matches regex", download.Clean(r.URL))
	}
	return found, err
}

// decode makes text of a page: latin1 is what nvchecker takes where nobody says.
func decode(body []byte, encoding string) (string, error) {
	switch strings.ToLower(strings.NewReplacer("-", "", "_", "").Replace(encoding)) {
	case "utf8", "ascii":
		return strings.ToValidUTF8(string(body), "\ufffd"), nil
	case "", "latin1", "iso88591":
		runes := make([]rune, len(body))
		for i, b := range body {
			runes[i] = rune(b)
		}
		return string(runes), nil
	}
	return "", fmt.Errorf("the encoding %q is not known: utf-8 and latin1 are", encoding)
}

func (c *Checker) httpheader(ctx context.Context, e Entry) ([]candidate, error) {
	find, err := e.required("regex")
	if err != nil {
		return nil, err
	}
	r, err := e.page()
	if err != nil {
		return nil, err
	}
	name, err := e.text("header")
	if err != nil {
		return nil, err
	}
	if name == "" {
		name = "Location"
	}
	if r.Method, err = e.text("method"); err != nil {
		return nil, err
	}
	switch r.Method {
	case "":
		r.Method = http.MethodHead
	case http.MethodHead, http.MethodGet:
	default:
		return nil, fmt.Errorf("the option method must be HEAD or GET, not %q", r.Method)
	}
	r.Final = !e.on("follow_redirects")
	var value string
	err = c.Web.Head(ctx, r, func(h http.Header) { value = h.Get(name) })
	if err != nil {
		return nil, err
	}
	if value == "" {
		return nil, fmt.Errorf("%s answers without the header %s", download.Clean(r.URL), name)
	}
	found, err := find.findAll(value)
	if err == nil && len(found) == 0 {
		err = fmt.Errorf("the header %s of %s has nothing that matches regex", name, download.Clean(r.URL))
	}
	return found, err
}
