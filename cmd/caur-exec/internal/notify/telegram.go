package notify

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/caur-build/caur/internal/settings"
)

const telegramLimit = 4096 // characters of a message; its markup is counted too here, to be safe

// telegram sends through the Bot API.
type telegram struct {
	api    string
	token  settings.Secret
	chat   string
	client *http.Client
}

func (t *telegram) send(ctx context.Context, notes []Note) error {
	text := single(notes[0], markdownV2{}, telegramLimit)
	if len(notes) > 1 {
		text = digest(notes, markdownV2{}, telegramLimit)
	}
	body := map[string]any{"chat_id": t.chat, "text": text, "parse_mode": "MarkdownV2",
		"link_preview_options": map[string]any{"is_disabled": true}}
	answer, err := postJSON(ctx, t.client, strings.TrimRight(t.api, "/")+"/bot"+t.token.Reveal()+"/sendMessage",
		http.Header{"Content-Type": {"application/json"}}, body)
	var refused *sendError
	if !errors.As(err, &refused) {
		return err
	}
	var reply struct {
		Parameters struct {
			RetryAfter int `json:"retry_after"`
		} `json:"parameters"`
	}
	if json.Unmarshal(answer, &reply) == nil && reply.Parameters.RetryAfter > 0 {
		refused.after = max(refused.after, time.Duration(reply.Parameters.RetryAfter)*time.Second)
	}
	if refused.code == http.StatusNotFound {
		refused.final = false // it is the token that Telegram does not know, not the message
	}
	return refused
}
