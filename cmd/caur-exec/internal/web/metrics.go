package web

import "net/http"

// AddMetrics serves /metrics too; call it before Serve and Handler.
func (s *Server) AddMetrics(metrics http.Handler) {
	site, protected := s.handler, s.protect(metrics)
	s.handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/metrics" && (r.Method == http.MethodGet || r.Method == http.MethodHead) {
			protected.ServeHTTP(w, r)
			return
		}
		site.ServeHTTP(w, r)
	})
}
