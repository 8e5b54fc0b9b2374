package forge

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/caur-build/caur/internal/settings"
	"github.com/caur-build/caur/internal/testenv"
)

func writeFile(t *testing.T, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestLimitsAndFailuresThatPass(t *testing.T) {
	g := newNames(t)
	now := time.Date(2026, 5, 1, 0, 0, 0, 0, time.UTC) // the server's
	date := now.Format(http.TimeFormat)
	inAMinute := strconv.FormatInt(now.Add(time.Minute).Unix(), 10)
	only := func(d time.Duration) [2]time.Duration { return [2]time.Duration{d, d} }
	tests := []struct {
		name   string
		faults []testenv.Fault
		waits  [2]time.Duration // at least, at most
	}{
		{"429 with Retry-After, reading", []testenv.Fault{{Method: "GET", Status: 429, Header: map[string]string{"Retry-After": "30"}}},
			only(30 * time.Second)},
		{"429 with Retry-After, writing", []testenv.Fault{{Method: "POST", Status: 429, Header: map[string]string{"Retry-After": "7"}}},
			only(7 * time.Second)},
		{"429 without a word", []testenv.Fault{{Method: "POST", Status: 429, Times: 2}}, [2]time.Duration{time.Second, 3 * time.Second}},
		{"Retry-After as a date", []testenv.Fault{{Status: 429,
			Header: map[string]string{"Date": date, "Retry-After": now.Add(time.Minute).Format(http.TimeFormat)}}}, only(time.Minute)},
		{"403 with a limit that is used up", []testenv.Fault{{Method: "POST", Status: 403,
			Header: map[string]string{"Date": date, "X-RateLimit-Remaining": "0", "X-RateLimit-Reset": inAMinute}}}, only(time.Minute)},
		{"403 with a secondary limit, in words", []testenv.Fault{{Status: 403, Body: `{"message":"You have exceeded a secondary rate limit."}`}},
			only(time.Minute)},
		{"503 with Retry-After, writing", []testenv.Fault{{Method: "POST", Status: 503, Header: map[string]string{"Retry-After": "5"}}},
			only(5 * time.Second)},
		{"500, 502, 503, 504, reading", []testenv.Fault{
			{Method: "GET", Status: 500}, {Method: "GET", Status: 502}, {Method: "GET", Status: 503}, {Method: "GET", Status: 504}},
			[2]time.Duration{5 * time.Second, 10 * time.Second}},
		{"broken connection, reading", []testenv.Fault{{Method: "GET", Drop: true}}, [2]time.Duration{0, time.Second}},
		{"a limit that the last request used up", []testenv.Fault{{Method: "GET", Status: 200, Body: "[]",
			Header: map[string]string{"X-RateLimit-Remaining": "0", "RateLimit-Remaining": "0",
				"X-RateLimit-Reset": inAMinute, "RateLimit-Reset": inAMinute, "Date": date}}},
			only(time.Minute)},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			onSame(t, g, func(t *testing.T, s *stand) {
				p := s.proposal()
				s.Fail(tt.faults...)
				s.upsert(s.forge, p)
				s.only()
				if got := s.clock.total(); got < tt.waits[0] || got > tt.waits[1] {
					t.Errorf("waited %v", s.clock.slept)
				}
			})
		})
	}
}

func TestWritingIsNotRepeatedWhenItMayHaveBeenDone(t *testing.T) {
	g := newNames(t)
	for _, fault := range []testenv.Fault{{Method: "POST", Status: 500}, {Method: "POST", Status: 502}, {Method: "POST", Status: 503}} {
		onSame(t, g, func(t *testing.T, s *stand) {
			p := s.proposal()
			s.Fail(fault)
			_, err := s.forge.Upsert(t.Context(), p)
			if status(err) != fault.Status || len(s.Writes()) != 1 || len(s.MergeRequests()) != 0 {
				t.Errorf("%v after %+v", err, s.Writes())
			}
			s.upsert(s.forge, p) // the next run does it
			s.only()
		})
	}
}

func TestALongLimitIsAnErrorThatSaysUntilWhen(t *testing.T) {
	g := newNames(t)
	onSame(t, g, func(t *testing.T, s *stand) {
		s.Fail(testenv.Fault{Status: 429, Header: map[string]string{"Retry-After": "3000"}})
		_, err := s.forge.Open(t.Context())
		var limit *LimitError
		if !errors.As(err, &limit) || limit.Wait != 50*time.Minute || !strings.Contains(err.Error(), "2026-03-01T00:50:00Z") {
			t.Errorf("error %v", err)
		}
		if len(s.clock.slept) > 0 {
			t.Errorf("waited %v for nothing", s.clock.slept)
		}
	})
}

func TestShortWaitsAddUpToALimit(t *testing.T) {
	g := newNames(t)
	onSame(t, g, func(t *testing.T, s *stand) {
		s.Fail(testenv.Fault{Status: 429, Times: 5, Header: map[string]string{"Retry-After": "40"}})
		_, err := s.again(func(c *Config) { c.MaxWait = 100 * time.Second }).Open(t.Context())
		var limit *LimitError
		if !errors.As(err, &limit) || s.clock.total() != 80*time.Second {
			t.Errorf("%v after %v", err, s.clock.slept)
		}
	})
}

func TestAServerThatStaysDown(t *testing.T) {
	g := newNames(t)
	onSame(t, g, func(t *testing.T, s *stand) {
		p := s.proposal()
		s.Stop()
		_, err := s.forge.Upsert(t.Context(), p)
		if err == nil || strings.ContainsAny(err.Error(), "?&") || strings.Contains(err.Error(), s.token) {
			t.Fatalf("error %v", err)
		}
		if !strings.Contains(err.Error(), "connection refused") || !strings.Contains(err.Error(), "update-foo") {
			t.Errorf("error %v", err)
		}
		if n := len(s.clock.slept); n != maxTries-1 {
			t.Errorf("waited %v", s.clock.slept)
		}
	})
}

func TestRefusalsSayWhichVariableAndWhichRight(t *testing.T) {
	g := newNames(t)
	rights := map[string]string{GitLab: "scope api", GitHub: "Pull requests: read and write"}
	tests := []struct {
		name   string
		change func(*stand, *Config)
		status int
	}{
		{"wrong token", func(_ *stand, c *Config) { c.Token = settings.NewSecret("hunter2") }, 401},
		{"a token that may only read", func(s *stand, _ *Config) { s.SetReadOnly() }, 403},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			onSame(t, g, func(t *testing.T, s *stand) {
				p := s.proposal()
				f := s.again(func(c *Config) { tt.change(s, c) })
				_, err := f.Upsert(t.Context(), p)
				if status(err) != tt.status || !strings.Contains(err.Error(), "ACCESS_TOKEN") || !strings.Contains(err.Error(), rights[s.kind]) {
					t.Errorf("error %v", err)
				}
				if text := err.Error(); strings.Contains(text, "hunter2") || strings.Contains(text, s.token) || strings.Contains(text, "?") {
					t.Errorf("says too much: %v", err)
				}
				if len(s.clock.slept) > 0 {
					t.Errorf("waited %v for nothing", s.clock.slept)
				}
			})
		})
	}
}

func TestAnUnknownProjectNamesItsVariable(t *testing.T) {
	s := newStand(t, GitLab, newNames(t))
	_, err := s.again(func(c *Config) { c.Project = "99" }).Open(t.Context())
	if status(err) != 404 || !strings.Contains(err.Error(), "CI_PROJECT_ID") {
		t.Errorf("error %v", err)
	}
}

func TestAForgeThatRepeatsTheTokenDoesNotMakeUsSayIt(t *testing.T) {
	g := newNames(t)
	onSame(t, g, func(t *testing.T, s *stand) {
		s.Fail(testenv.Fault{Status: 400, Body: `{"message":"bad\u001b[31m header ` + s.token + `\n` + strings.Repeat("x", 5000) + `"}`})
		_, err := s.forge.Open(t.Context())
		if err == nil || strings.Contains(err.Error(), s.token) || strings.ContainsAny(err.Error(), "\n\x1b") || len(err.Error()) > 600 {
			t.Errorf("error %v", err)
		}
	})
}

func TestWhatIsNoAnswerOfAForge(t *testing.T) {
	g := newNames(t)
	onSame(t, g, func(t *testing.T, s *stand) {
		s.Fail(testenv.Fault{Status: 200, Body: "<html>maintenance</html>"})
		if _, err := s.forge.Open(t.Context()); err == nil || !strings.Contains(err.Error(), "list the open review requests") {
			t.Errorf("error %v", err)
		}
	})
}

func TestRedirectsToAnotherHostDropTheToken(t *testing.T) {
	g := newNames(t)
	onSame(t, g, func(t *testing.T, s *stand) {
		var seen []string
		other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			seen = append(seen, r.Header.Get("Authorization")+r.Header.Get("Private-Token"))
			_, _ = io.WriteString(w, "[]")
		}))
		defer other.Close()
		s.Fail(testenv.Fault{Method: "GET", Status: 307, Header: map[string]string{"Location": other.URL + "/x"}})
		if _, err := s.forge.Open(t.Context()); err != nil {
			t.Fatal(err)
		}
		if len(seen) != 1 || seen[0] != "" {
			t.Errorf("sent %q to another host", seen)
		}
	})
}

func TestARedirectThatChangesTheMethodIsRefused(t *testing.T) {
	g := newNames(t)
	onSame(t, g, func(t *testing.T, s *stand) {
		p := s.proposal()
		if _, err := s.forge.Open(t.Context()); err != nil {
			t.Fatal(err)
		}
		s.Fail(testenv.Fault{Method: "POST", Status: 301, Header: map[string]string{"Location": "/elsewhere?x=y"}})
		_, err := s.forge.Upsert(t.Context(), p)
		if err == nil || !strings.Contains(err.Error(), "has the project moved") || strings.Contains(err.Error(), "x=y") {
			t.Errorf("error %v", err)
		}
	})
}

// hung never answers.
type hung struct{}

func (hung) RoundTrip(r *http.Request) (*http.Response, error) {
	<-r.Context().Done()
	return nil, r.Context().Err()
}

func TestEveryTryHasATimeLimit(t *testing.T) {
	g := newNames(t)
	onSame(t, g, func(t *testing.T, s *stand) {
		f := s.again(func(c *Config) { c.Transport, c.Timeout = hung{}, time.Millisecond })
		_, err := f.Open(t.Context())
		if err == nil || !strings.Contains(err.Error(), "no answer within 1ms") || len(s.clock.slept) != maxTries-1 {
			t.Errorf("%v after %v", err, s.clock.slept)
		}
	})
}

func TestACallEndsWithItsContext(t *testing.T) {
	g := newNames(t)
	onSame(t, g, func(t *testing.T, s *stand) {
		ctx, cancel := context.WithCancel(t.Context())
		f := s.again(func(c *Config) {
			c.Transport = hung{}
			c.Sleep = func(context.Context, time.Duration) error { t.Error("waits though nobody does"); return nil }
		})
		cancel()
		if _, err := f.Open(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("error %v", err)
		}
	})
}

func TestSleepEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := sleep(ctx, time.Hour); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	if err := sleep(t.Context(), time.Nanosecond); err != nil {
		t.Error(err)
	}
}
