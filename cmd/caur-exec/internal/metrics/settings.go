package metrics

import (
	"net"
	"strconv"
)

// Settings of the metrics.
type Settings struct {
	Host       string `env:"METRICS_HOST" help:"address to serve metrics on (default: all)"`
	Port       int    `env:"METRICS_PORT, default=3030" help:"port to serve metrics on, beside /metrics of the web pages; -1 for none"`
	PerPackage bool   `env:"METRICS_PER_PACKAGE, default=false" help:"count builds by package too: many more time series"`
}

// Check says what is wrong with the values.
func (s *Settings) Check() []string {
	if s.Port < -1 || s.Port > 65535 {
		return []string{"METRICS_PORT: not a port; -1 for none"}
	}
	return nil
}

// Address is what to listen on.
func (s *Settings) Address() string { return net.JoinHostPort(s.Host, strconv.Itoa(s.Port)) }
