package buildlog

import (
	"embed"
	"fmt"
	"strconv"
	"strings"

	"github.com/redis/go-redis/v9"
)

//go:embed lua/*.lua
var luaFiles embed.FS

// scripts are the only places that write to Redis.
type scripts struct{ open, append, end, moved *redis.Script }

func loadScripts() scripts {
	load := func(name string) *redis.Script {
		text, err := luaFiles.ReadFile("lua/" + name + ".lua")
		if err != nil {
			panic(err) // embedded: cannot be missing in a program that was built
		}
		return redis.NewScript(string(text))
	}
	return scripts{open: load("open"), append: load("append"), end: load("end"), moved: load("moved")}
}

// Key layout. pkgbase never holds a colon (queue and web check names), so the
// parts cannot run into each other.
//
//	{caur-log}:meta:PKGBASE:TIMESTAMP    hash: token size started builder mark marks [status ended moved]
//	{caur-log}:data:PKGBASE:TIMESTAMP    stream: one entry a chunk, and END
//	{caur-log}:times:PKGBASE:TIMESTAMP   sorted set of OFFSET:MILLISECONDS by OFFSET: when the log was that long
//	{caur-log}:index:PKGBASE             sorted set of the timestamps that have a log
const tag = "{caur-log}"

func metaKey(k Key) string           { return tag + ":meta:" + k.String() }
func dataKey(k Key) string           { return tag + ":data:" + k.String() }
func timesKey(k Key) string          { return tag + ":times:" + k.String() }
func indexKey(pkgbase string) string { return tag + ":index:" + pkgbase }

func scriptKeys(k Key) []string {
	return []string{metaKey(k), dataKey(k), indexKey(k.Pkgbase), timesKey(k)}
}

// String gives PKGBASE:TIMESTAMP.
func (k Key) String() string { return fmt.Sprintf("%s:%d", k.Pkgbase, k.Timestamp) }

// Stream entries have explicit IDs: OFFSET+1, then twice the writer's token for
// a chunk and one more for END. The offset makes "read from byte N" a lookup,
// the token orders the runs of a job that was leased more than once.

// idFrom is just before everything at offset or later.
func idFrom(offset int64) string { return strconv.FormatInt(offset+1, 10) + "-0" }

func parseID(id string) (offset, token int64, end bool, err error) {
	left, right, ok := strings.Cut(id, "-")
	first, err1 := strconv.ParseInt(left, 10, 64)
	second, err2 := strconv.ParseInt(right, 10, 64)
	if !ok || err1 != nil || err2 != nil || first < 1 {
		return 0, 0, false, fmt.Errorf("log entry has the foreign ID %q", id)
	}
	return first - 1, second / 2, second%2 == 1, nil
}
