package expr

import (
	"strings"

	"github.com/theseus-run/theseus/internal/spell"
)

// suggest returns "did you mean …?" for the candidate nearest to name, or the
// list of candidates behind the given words when none is near.
func suggest(name string, candidates []string, list string) string {
	if c := spell.Nearest(name, candidates); c != "" {
		return "did you mean " + c + "?"
	}
	if len(candidates) == 0 {
		return ""
	}
	return list + strings.Join(candidates, ", ")
}
