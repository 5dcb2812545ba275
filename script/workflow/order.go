package workflow

import (
	"fmt"
	"slices"
	"strings"
)

// order checks that no step needs itself through others.
func (c *compiler) order() {
	const (
		unseen = iota
		open
		done
	)
	state := make([]int, len(c.unit.steps))
	var trail []int
	var visit func(i int)
	visit = func(i int) {
		state[i] = open
		trail = append(trail, i)
		for _, n := range c.unit.steps[i].needs {
			switch state[n] {
			case unseen:
				visit(n)
			case open:
				c.circle(trail[slices.Index(trail, n):])
			}
		}
		trail = trail[:len(trail)-1]
		state[i] = done
	}
	for i := range c.unit.steps {
		if state[i] == unseen {
			visit(i)
		}
	}
}

// circle records steps of which each needs the next and the last the first.
func (c *compiler) circle(steps []int) {
	var names []string
	for _, i := range steps {
		names = append(names, c.names[i])
	}
	// begin with the step that stands first in the file
	at := slices.Index(steps, slices.Min(steps))
	names = slices.Concat(names[at:], names[:at], names[at:at+1])
	c.failKey("steps.NAME in an expression is a need too", fmt.Sprintf("steps need each other in a circle: %s", strings.Join(names, " → ")), "steps", names[0])
}
