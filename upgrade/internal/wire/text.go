package wire

import (
	"fmt"
	"maps"
	"slices"
	"unicode/utf8"
)

// checkText refuses names and paths that JSON cannot carry: it would replace
// what is not UTF-8, and the peer would act on another name. Reasons are for
// people and may be changed so.
func checkText(m Message) error {
	for _, s := range identities(m) {
		if !utf8.ValidString(s) {
			return fmt.Errorf("%w: %s: %q is not UTF-8: use another name", ErrMalformed, m.kind(), s)
		}
	}
	return nil
}

// identities lists the strings of m that the peer must get unchanged.
func identities(m Message) []string {
	switch m := m.(type) {
	case Hello:
		return append(m.Release.identities(), m.Rejected...)
	case Sockets:
		var all []string
		for _, s := range m.Sockets {
			all = append(all, s.Name, s.Network, s.Address, s.Requested, s.Unlink)
		}
		return all
	case State:
		return []string{m.Name}
	case StateEnd:
		return []string{m.Name, m.SHA256}
	case Ready:
		return m.Sockets
	case Serve:
		return slices.Collect(maps.Keys(m.Singletons))
	case Connection:
		return []string{m.Kind, m.Listener}
	case Draining:
		var all []string
		for _, p := range m.Processes {
			all = append(all, p.Release.identities()...)
			all = slices.AppendSeq(all, maps.Keys(p.Connections))
		}
		return all
	case Start:
		return append(append([]string{m.Path}, m.Args...), m.Env...)
	case Served:
		return m.Release.identities()
	case Request:
		return []string{m.Path}
	}
	return nil
}

func (r Release) identities() []string { return []string{r.Digest, r.Version, r.Path} }
