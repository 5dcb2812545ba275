package update

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// Guards say when a change may go on. The zero value lets all pass.
type Guards struct {
	// MaxLoad is the load, in runnable tasks per processor, under which a change is
	// written and warmed. Zero means any.
	MaxLoad float64 `json:"max_load,omitempty"`

	// MaxLatency is the 99th percentile of answers under which it is. Zero means any.
	MaxLatency time.Duration `json:"max_latency,omitempty"`
}

// Facts are what guards look at.
type Facts struct {
	Load    float64          // runnable tasks per processor
	Latency time.Duration    // 99th percentile of the answers of late; 0 when there were none
	Workers map[string]error // by name; nil means healthy
}

// A WaitingError says which guard a change waits for. It is no failure.
type WaitingError struct {
	Phase Phase
	For   string
}

// Error names the guard and the figures.
func (e *WaitingError) Error() string { return string(e.Phase) + " waits: " + e.For }

// waiting says what a change in that phase waits for; empty if for nothing.
func (g Guards) waiting(p Phase, f Facts) string {
	if p == Syncing {
		var ill []string
		for _, name := range slices.Sorted(maps.Keys(f.Workers)) {
			if err := f.Workers[name]; err != nil {
				ill = append(ill, fmt.Sprintf("%s: %v", name, err))
			}
		}
		if len(ill) > 0 {
			return "not healthy: " + strings.Join(ill, "; ")
		}
		return ""
	}
	switch {
	case g.MaxLoad > 0 && !(f.Load < g.MaxLoad):
		return fmt.Sprintf("the load is %.2f, to be below %.2f", f.Load, g.MaxLoad)
	case g.MaxLatency > 0 && f.Latency >= g.MaxLatency:
		return fmt.Sprintf("the 99th percentile is %s, to be below %s", f.Latency, g.MaxLatency)
	}
	return ""
}

func sortedNames[T any](m map[string]T) []string { return slices.Sorted(maps.Keys(m)) }
