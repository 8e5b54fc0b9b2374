package web

import (
	"encoding/json"
	"net/http"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// openapi describes the API: what the table of routes says.
func (s *Server) openapi(w http.ResponseWriter, r *http.Request) { s.answerJSON(w, r, s.description()) }

var pathParam = regexp.MustCompile(`\{([a-z]+)\}`)

func (s *Server) description() map[string]any {
	paths := map[string]map[string]any{}
	for _, r := range s.table() {
		path := strings.TrimSuffix(r.path, "{$}")
		if paths[path] == nil {
			paths[path] = map[string]any{}
		}
		paths[path][strings.ToLower(r.method)] = r.describe()
	}
	return map[string]any{
		"openapi": "3.0.3",
		"info":    map[string]any{"title": "caur", "version": "1", "description": "Logs and the build queue. Keys may be added to answers, none is ever renamed."},
		"servers": []any{map[string]any{"url": ".."}}, // relative to this file, wherever a reverse proxy puts it
		"paths":   paths,
		"components": map[string]any{"securitySchemes": map[string]any{
			"token": map[string]any{"type": "http", "scheme": "bearer", "description": "WEB_ADMIN_TOKEN"}}},
	}
}

func (r route) describe() map[string]any {
	text := map[string]any{"type": "string"}
	params := []any{}
	for _, m := range pathParam.FindAllStringSubmatch(r.path, -1) {
		params = append(params, map[string]any{"name": m[1], "in": "path", "required": true, "schema": text})
	}
	for _, p := range r.query {
		params = append(params, map[string]any{"name": p.name, "in": p.in, "description": p.about, "schema": text})
	}
	answers := map[string]any{}
	for _, a := range r.answers {
		one := map[string]any{"description": a.about}
		if a.kind != "" {
			schema := any(text)
			if a.value != nil {
				schema = schemaOf(reflect.TypeOf(a.value))
			}
			one["content"] = map[string]any{a.kind: map[string]any{"schema": schema}}
		}
		answers[strconv.Itoa(a.code)] = one
	}
	op := map[string]any{"summary": r.summary, "parameters": params, "responses": answers}
	if r.body != nil {
		op["requestBody"] = map[string]any{"required": true, "content": map[string]any{asJS: map[string]any{"schema": schemaOf(reflect.TypeOf(r.body))}}}
	}
	if r.admin {
		op["security"] = []any{map[string]any{"token": []string{}}}
	}
	return op
}

// schemaOf is the JSON schema of a type of this package's answers.
func schemaOf(t reflect.Type) map[string]any {
	switch {
	case t == reflect.TypeFor[time.Time]():
		return map[string]any{"type": "string", "format": "date-time"}
	case t == reflect.TypeFor[class]():
		return map[string]any{"oneOf": []any{map[string]any{"type": "integer"}, map[string]any{"type": "string"}}}
	}
	switch t.Kind() {
	case reflect.Pointer:
		return schemaOf(t.Elem())
	case reflect.Slice, reflect.Array:
		return map[string]any{"type": "array", "items": schemaOf(t.Elem())}
	case reflect.Map:
		if t.Elem().Kind() == reflect.Interface {
			return map[string]any{"type": "object"}
		}
		return map[string]any{"type": "object", "additionalProperties": schemaOf(t.Elem())}
	case reflect.Struct:
		return structSchema(t)
	case reflect.String:
		return map[string]any{"type": "string"}
	case reflect.Bool:
		return map[string]any{"type": "boolean"}
	case reflect.Float64:
		return map[string]any{"type": "number"}
	}
	return map[string]any{"type": "integer"}
}

func structSchema(t reflect.Type) map[string]any {
	properties, required := map[string]any{}, []string{}
	for i := range t.NumField() {
		name, options, _ := strings.Cut(t.Field(i).Tag.Get("json"), ",")
		properties[name] = schemaOf(t.Field(i).Type)
		if !strings.Contains(options, "omit") {
			required = append(required, name)
		}
	}
	schema := map[string]any{"type": "object", "properties": properties}
	if len(required) > 0 { // an empty list is no valid schema
		schema["required"] = required
	}
	return schema
}

func (s *Server) answerJSON(w http.ResponseWriter, r *http.Request, value any) {
	body, err := json.Marshal(value)
	if err != nil {
		s.unavailable(w, r, err)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Cache-Control", "no-cache")
	h.Set("Content-Length", strconv.Itoa(len(body)))
	_, _ = w.Write(body) // the client may have gone
}
