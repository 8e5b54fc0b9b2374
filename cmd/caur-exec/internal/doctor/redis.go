package doctor

import (
	"context"
	"fmt"
	"strings"

	"github.com/redis/go-redis/v9"
)

// redisSettings looks at what decides over the fate of the queue when Redis is full or falls. INFO tells it to users that
// may not read the configuration.
func (e *exam) redisSettings(ctx context.Context, rdb redis.UniversalClient) {
	const check = "redis settings"
	text, err := rdb.Info(ctx, "everything").Result()
	if err != nil {
		e.add(Warning, check, fmt.Sprintf("not known: %v", err), "allow INFO in the ACL of Redis' user")
		return
	}
	info := fields(text)
	before := len(e.findings)
	if policy := info["maxmemory_policy"]; policy != "noeviction" {
		status := Warning // without a limit nothing is evicted
		if info["maxmemory"] != "0" {
			status = Failed
		}
		e.add(status, check, "maxmemory-policy is "+policy+": a full Redis would throw jobs away", "CONFIG SET maxmemory-policy noeviction, and the same in redis.conf")
	}
	if info["aof_enabled"] != "1" {
		e.add(Warning, check, "the append-only file is off: a crash of Redis loses the jobs since its last snapshot", "CONFIG SET appendonly yes, and the same in redis.conf")
	}
	for _, name := range []string{"aof_last_write_status", "rdb_last_bgsave_status"} {
		if v := info[name]; v != "" && v != "ok" {
			e.add(Failed, check, name+" is "+v+": Redis cannot write its data", "look for a full disk, or missing rights, where Redis keeps its data")
		}
	}
	if info["role"] == "slave" {
		e.add(Failed, check, "this Redis is a replica, which takes no writes", "name the master, or use a redis-sentinel:// URL")
	}
	if len(e.findings) == before {
		e.ok(check, "version %s, append-only file, nothing is evicted", info["redis_version"])
	}
}

// fields reads NAME:VALUE lines of INFO.
func fields(text string) map[string]string {
	out := make(map[string]string)
	for line := range strings.Lines(text) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), ":"); ok {
			out[name] = value
		}
	}
	return out
}
