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

	// Patience is how long a change waits for these, and for its workers, before it
	// is refused. Zero means that of the runner.
	Patience time.Duration `json:"patience,omitempty"`
}

// Facts are what guards look at.
type Facts struct {
	Load    float64          // runnable tasks per processor
	Latency time.Duration    // 99th percentile of the answers of late; 0 when there were none
	Workers map[string]error // by name; nil means healthy
}

// The guards' names.
const (
	GuardLoad    = "max_load"
	GuardLatency = "max_latency"
	GuardWorkers = "workers"
)

// A WaitingError says which guard a change waits for. It is no failure, unless the
// change has waited for as long as it may.
type WaitingError struct {
	Phase    Phase
	Guard    string        // its name
	For      string        // its ceiling and the value
	Patience time.Duration // how long the change may wait
}

// Error names the guard and the figures.
func (e *WaitingError) Error() string {
	return fmt.Sprintf("%s waits for %s: %s", e.Phase, e.Guard, e.For)
}

// waiting says what a change in that phase waits for: a guard, with its ceiling and
// the value; empty if for nothing.
func (g Guards) waiting(p Phase, f Facts) (guard, why string) {
	if p == Syncing {
		var ill []string
		for _, name := range slices.Sorted(maps.Keys(f.Workers)) {
			if err := f.Workers[name]; err != nil {
				ill = append(ill, fmt.Sprintf("%s: %v", name, err))
			}
		}
		if len(ill) > 0 {
			return GuardWorkers, "not healthy: " + strings.Join(ill, "; ")
		}
		return "", ""
	}
	switch {
	case g.MaxLoad > 0 && !(f.Load < g.MaxLoad):
		return GuardLoad, fmt.Sprintf("the load is %.2f per processor, to be below %.2f", f.Load, g.MaxLoad)
	case g.MaxLatency > 0 && f.Latency >= g.MaxLatency:
		return GuardLatency, fmt.Sprintf("the 99th percentile of answers is %s, to be below %s", f.Latency, g.MaxLatency)
	}
	return "", ""
}

func sortedNames[T any](m map[string]T) []string { return slices.Sorted(maps.Keys(m)) }
