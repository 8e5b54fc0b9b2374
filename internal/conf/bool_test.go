package conf_test

import (
	"testing"

	"github.com/caur-build/caur/internal/conf"
)

func TestBoolReadsCommonSpellings(t *testing.T) {
	for _, value := range []string{"true", "True", "TRUE", "yes", "YES", "1"} {
		if got, err := conf.Bool(value); err != nil || !got {
			t.Errorf("Bool(%q) = %v, %v", value, got, err)
		}
	}
	for _, value := range []string{"false", "False", "no", "No", "0"} {
		if got, err := conf.Bool(value); err != nil || got {
			t.Errorf("Bool(%q) = %v, %v", value, got, err)
		}
	}
	for _, value := range []string{"", " true", "on", "t", "2", "truee", "tr\u00fce"} {
		if _, err := conf.Bool(value); err == nil {
			t.Errorf("Bool(%q) is no error", value)
		}
	}
}
