package queue

import (
	"context"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/redis/go-redis/v9"
)

//go:embed lua/*.lua
var luaFiles embed.FS

// scripts are read-only after the start: the shared part, then the script, one text each.
var scripts = loadScripts()

func loadScripts() map[string]*redis.Script {
	read := func(name string) string {
		text, err := luaFiles.ReadFile("lua/" + name + ".lua")
		if err != nil {
			panic(err) // the file is part of the program
		}
		return string(text)
	}
	shared := luaKeys() + read("lib")
	all := map[string]*redis.Script{}
	for _, name := range []string{"enqueue", "claim", "renew", "deliver", "finish", "requeue", "take", "delivery", "cancel", "reap", "list", "task",
		"adjust", "settings", "ended", "upgrade"} {
		all[name] = redis.NewScript(shared + read(name))
	}
	return all
}

// run calls a script; what says, for the error, what was being done. EVALSHA first, the text only to a server that lacks it.
func (q *Queue) run(ctx context.Context, what, name string, args ...any) (any, error) {
	return q.runAs(ctx, q.protocol, what, name, args...)
}

func (q *Queue) runAs(ctx context.Context, protocol any, what, name string, args ...any) (any, error) {
	reply, err := scripts[name].Run(ctx, q.rdb, []string{q.keys.prefix}, append([]any{protocol}, args...)...).Result()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", what, q.translate(err))
	}
	return reply, nil
}

// translate gives the scripts' refusals their Go errors.
func (q *Queue) translate(err error) error {
	var refused redis.Error
	if !errors.As(err, &refused) {
		return err
	}
	code, text, _ := strings.Cut(refused.Error(), " ")
	switch code {
	case "CAURLOST":
		return fmt.Errorf("%w: %s", ErrLeaseLost, text)
	case "CAURCANCELED":
		return fmt.Errorf("%w: %s", ErrCanceled, text)
	case "CAURNOTFOUND":
		return fmt.Errorf("%w: %s", ErrNotFound, text)
	case "CAURPROTO":
		version, _ := strconv.Atoi(text)
		return &ProtocolError{Queue: version, Ours: q.protocol}
	}
	return err
}

// Replies of scripts are nested lists of strings and integers; what is missing reads as empty.

func list(v any) []any {
	l, _ := v.([]any)
	return l
}

func at(l []any, i int) any {
	if i < len(l) {
		return l[i]
	}
	return nil
}

func str(v any) string {
	switch v := v.(type) {
	case string:
		return v
	case int64:
		return strconv.FormatInt(v, 10)
	}
	return ""
}

func num(v any) int64 {
	switch v := v.(type) {
	case int64:
		return v
	case string:
		n, _ := strconv.ParseInt(v, 10, 64)
		return n
	}
	return 0
}

// flat turns a list of pairs into a map.
func flat(v any) map[string]string {
	l := list(v)
	m := make(map[string]string, len(l)/2)
	for i := 0; i+1 < len(l); i += 2 {
		m[str(l[i])] = str(l[i+1])
	}
	return m
}

// readJob makes a job of its stored text and timestamp.
func readJob(body, timestamp any) (Job, error) {
	var j Job
	if err := json.Unmarshal([]byte(str(body)), &j); err != nil {
		return Job{}, fmt.Errorf("read a stored job: %w", err)
	}
	j.Timestamp = num(timestamp)
	return j, nil
}
