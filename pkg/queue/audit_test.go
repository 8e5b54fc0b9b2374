package queue

import (
	"strings"
	"testing"

	"github.com/caur-build/caur/internal/testenv"
)

func TestAuditLogKeepsWhatWasDoneNewestFirst(t *testing.T) {
	q := New(testenv.Redis(t).Client())
	if entries, err := q.AuditLog(t.Context(), 10); err != nil || len(entries) != 0 {
		t.Fatalf("%v, %v", entries, err)
	}
	for _, action := range []string{"cancel", "drain"} {
		if err := q.Audit(t.Context(), AuditEntry{Actor: "page\nforged line", Action: action, Target: strings.Repeat("x", 1000), Result: "done"}); err != nil {
			t.Fatal(err)
		}
	}
	entries, err := q.AuditLog(t.Context(), 10)
	if err != nil || len(entries) != 2 || entries[0].Action != "drain" || entries[0].Actor != "page forged line" || len(entries[0].Target) != auditField || entries[0].Time.IsZero() {
		t.Errorf("%+v, %v", entries, err)
	}
	if one, err := q.AuditLog(t.Context(), 1); err != nil || len(one) != 1 || one[0].ID != entries[0].ID {
		t.Errorf("%+v, %v", one, err)
	}
}
