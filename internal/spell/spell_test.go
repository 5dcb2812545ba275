package spell

import (
	"strings"
	"testing"
)

func TestNearest(t *testing.T) {
	known := []string{"routes", "rollout", "jobs", "use", "limits"}
	for word, want := range map[string]string{"rotes": "routes", "Routes": "routes", "job": "jobs", "limit": "limits", "xyz": "", "uze": "use", "": "", strings.Repeat("a", 1000): ""} {
		if got := Nearest(word, known); got != want {
			t.Errorf("Nearest(%q) = %q, want %q", word, got, want)
		}
	}
}
