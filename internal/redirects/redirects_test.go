package redirects_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"

	"github.com/caur-build/caur/internal/redirects"
)

func TestRedirectsAreCounted(t *testing.T) {
	hops := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		left, _ := strconv.Atoi(strings.TrimPrefix(r.URL.Path, "/"))
		if hops++; left > 0 {
			http.Redirect(w, r, "/"+strconv.Itoa(left-1), http.StatusFound)
		}
	}))
	defer server.Close()
	client := &http.Client{CheckRedirect: redirects.AtMost(3)}
	resp, err := client.Get(server.URL + "/3")
	if err != nil || hops != 4 {
		t.Fatalf("three redirects: %v, %d requests", err, hops)
	}
	resp.Body.Close()
	hops = 0
	var refused *redirects.Error
	if _, err = client.Get(server.URL + "/4"); !errors.As(err, &refused) || hops != 4 || !strings.Contains(err.Error(), "more than 3") {
		t.Errorf("four redirects: %v, %d requests", err, hops)
	}
}

func TestOnlyAnHTTPServerAsGoodAsTheFirstIsFollowed(t *testing.T) {
	for _, c := range []struct {
		from, to, err string
	}{
		{"http://a.example/", "http://a.example/x", ""},
		{"http://a.example/", "https://b.example/", ""},
		{"https://a.example/", "http://a.example/", "https to http"},
		{"https://a.example/", "file:///etc/passwd", "file address"},
		{"https://a.example/", "ftp://a.example/", "ftp address"},
	} {
		from, _ := http.NewRequest(http.MethodGet, c.from, nil)
		to, _ := http.NewRequest(http.MethodGet, c.to, nil)
		err := redirects.AtMost(5)(to, []*http.Request{from})
		if (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) {
			t.Errorf("%s → %s: %v", c.from, c.to, err)
		}
	}
}

func TestSecretsStayWithTheirServer(t *testing.T) {
	for target, kept := range map[string]bool{"https://a.example/x": true, "https://a.example:8443/": false, "https://b.example/": false} {
		from, _ := http.NewRequest(http.MethodGet, "https://a.example/", nil)
		to, _ := http.NewRequest(http.MethodGet, target, nil)
		for _, name := range []string{"Authorization", "Private-Token", "Job-Token", "Accept"} {
			to.Header.Set(name, "x")
		}
		if err := redirects.AtMost(5)(to, []*http.Request{from}); err != nil {
			t.Fatal(err)
		}
		if got := to.Header.Get("Authorization")+to.Header.Get("Private-Token")+to.Header.Get("Job-Token") == "xxx"; got != kept || to.Header.Get("Accept") != "x" {
			t.Errorf("%s: %v", target, to.Header)
		}
	}
}
