package notify

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/nicholas-fedor/shoutrrr/pkg/router"
	"github.com/nicholas-fedor/shoutrrr/pkg/types"
	"github.com/nicholas-fedor/shoutrrr/pkg/util/jsonclient"

	"github.com/caur-build/caur/internal/settings"
)

const shoutLimit = 1900 // UTF-16 units: Discord takes 2,000 in a message, and most others more

// Services that know no title: they refuse the whole message because of one.
var untitled = []string{"googlechat", "hangouts", "rocketchat", "signal", "wecom", "pagerduty", "notifiarr"}

// shout sends through shoutrrr. Its services take no context and some of them have no time limit: what does not come back in time is left behind, and
// nothing more is sent by this target until it has.
type shout struct {
	address settings.Secret

	mu      sync.Mutex
	service types.Service // kept while it works: that of Matrix logs in when it is made
	pending chan struct{} // closed when the call that was left behind has come back; nil when there is none
}

// checkShout says what is wrong with an address, without naming any of it.
func checkShout(address string) error {
	u, err := url.Parse(address)
	if err != nil || u.Scheme == "" {
		return errors.New("not an address of shoutrrr, such as ntfy://ntfy.sh/topic")
	}
	scheme, _, _ := strings.Cut(u.Scheme, "+")
	if scheme == "logger" || !slices.Contains((&router.ServiceRouter{}).ListServices(), scheme) {
		return fmt.Errorf("shoutrrr knows no service %q", scheme)
	}
	if scheme == "matrix" {
		return nil // would log in
	}
	if _, err := makeService(address); err != nil {
		return errors.New(redact(err.Error(), addressParts(address)))
	}
	return nil
}

func makeService(address string) (types.Service, error) {
	var r router.ServiceRouter
	u, err := url.Parse(address)
	if err != nil {
		return nil, errors.New("the address cannot be read")
	}
	scheme, _, custom := strings.Cut(u.Scheme, "+")
	service, err := r.NewService(scheme)
	if err != nil {
		return nil, fmt.Errorf("shoutrrr: %w", err)
	}
	if custom {
		c, ok := service.(types.CustomURLService)
		if !ok {
			return nil, fmt.Errorf("the service %s takes no address of the form %s+https://", scheme, scheme)
		}
		if u, err = c.GetConfigURLFromCustom(u); err != nil {
			return nil, fmt.Errorf("shoutrrr %s: %w", scheme, err)
		}
	}
	if err := service.Initialize(u, nil); err != nil {
		return nil, fmt.Errorf("shoutrrr %s: %w", scheme, err)
	}
	return service, nil
}

func (s *shout) send(ctx context.Context, notes []Note) error {
	body, title := single(notes[0], simple{}, shoutLimit), notes[0].title()
	if len(notes) > 1 {
		body, title = digest(notes, simple{}, shoutLimit), digestTitle(notes)
	}
	done := make(chan error, 1)
	s.mu.Lock()
	if s.pending != nil {
		select {
		case <-s.pending:
		default:
			s.mu.Unlock()
			return &sendError{reason: "the message before has not come to an end"}
		}
	}
	pending := make(chan struct{})
	s.pending = pending
	s.mu.Unlock()
	go func() {
		defer close(pending)
		done <- s.shout(body, title)
	}()
	select {
	case err := <-done:
		return judge(err)
	case <-ctx.Done():
		return &sendError{reason: "no answer in time"}
	}
}

func (s *shout) shout(body, title string) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("shoutrrr panicked: %v", p)
		}
	}()
	s.mu.Lock()
	service := s.service
	s.mu.Unlock()
	if service == nil {
		if service, err = makeService(s.address.Reveal()); err != nil {
			return err
		}
	}
	params := types.Params{}
	if !slices.Contains(untitled, service.GetID()) {
		params.SetTitle(title)
	}
	err = service.Send(body, &params)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.service = service; err != nil {
		s.service = nil
	}
	return err
}

// judge makes a sendError of what shoutrrr says; only some of its services tell the status.
func judge(err error) error {
	if err == nil {
		return nil
	}
	e := &sendError{reason: err.Error()}
	var answer jsonclient.Error
	if errors.As(err, &answer) {
		e.code, e.final = answer.StatusCode, hopeless(answer.StatusCode) && answer.StatusCode != 404
	}
	return e
}

var anyAddress = regexp.MustCompile(`([a-z][a-z0-9+.-]*://)(?:[^\s"'@/]*@)?([^\s"'/?#@]*)[^\s"']*`)

// redact takes addresses, but for their host, and secrets out of a text for people.
func redact(text string, secrets []string) string {
	text = anyAddress.ReplaceAllString(text, "$1$2/…")
	for _, secret := range secrets {
		text = strings.ReplaceAll(text, secret, "***")
	}
	return text
}

const shortestSecret = 5 // a part of an address that is shorter hides nothing, and replacing it would spoil the text

// addressParts are the parts of an address that may be secret: all but scheme and host. Services such as Discord keep a token where the host stands: of
// those without a dot the host is one too.
func addressParts(address string) []string {
	u, err := url.Parse(address)
	if err != nil {
		return []string{address}
	}
	password, _ := u.User.Password()
	parts := []string{u.User.Username(), password}
	parts = append(parts, strings.FieldsFunc(u.Path+"/"+u.Fragment, func(r rune) bool { return r == '/' || r == ':' })...)
	for _, values := range u.Query() {
		parts = append(parts, values...)
	}
	if !strings.Contains(u.Hostname(), ".") && u.Hostname() != "localhost" {
		parts = append(parts, u.Hostname())
	}
	for _, p := range slices.Clone(parts) {
		parts = append(parts, url.QueryEscape(p), url.PathEscape(p))
	}
	parts = slices.DeleteFunc(parts, func(p string) bool { return len(p) < shortestSecret })
	slices.SortFunc(parts, func(a, b string) int { return len(b) - len(a) })
	return slices.Compact(parts)
}
