package web

import (
	"time"

	"github.com/caur-build/caur/cmd/caur-exec/internal/history"
)

const (
	chartBars   = 40
	chartHeight = 120
	barWidth    = 14
	barStep     = 18
)

// chart shows how long past builds took, oldest on the left.
type chart struct {
	Bars          []bar
	Width, Height int
	Longest       time.Duration
}

type bar struct {
	X, Y, Width, Height int
	State               string
	Build               *history.Build
}

// newChart draws builds, which come newest first. Those that never ran are left out.
func newChart(builds []*history.Build) *chart {
	c := &chart{Height: chartHeight}
	var shown []*history.Build
	for _, b := range builds {
		if b.Duration > 0 && len(shown) < chartBars {
			shown = append(shown, b)
			c.Longest = max(c.Longest, b.Duration)
		}
	}
	c.Width = max(1, len(shown)) * barStep
	for i, b := range shown {
		height := max(2, int(float64(chartHeight)*b.Duration.Seconds()/c.Longest.Seconds()))
		c.Bars = append(c.Bars, bar{X: (len(shown) - 1 - i) * barStep, Y: chartHeight - height, Width: barWidth, Height: height, State: statusState(b.Status), Build: b})
	}
	return c
}
