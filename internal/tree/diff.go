package tree

import "strings"

// Op is what happened to a file between two trees. The values print as they are.
type Op string

// The operations.
const (
	Added   Op = "added"
	Changed Op = "changed"
	Removed Op = "removed"
)

// A Change is one file that differs between two trees.
type Change struct {
	Path string
	Op   Op
	Old  *File // nil when added
	New  *File // nil when removed
}

// Diff returns what turns a into b, sorted by path. A nil tree is an empty one.
func Diff(a, b *Tree) []Change {
	var from, to []*File
	if a != nil {
		from = a.files
	}
	if b != nil {
		to = b.files
	}
	if a != nil && b != nil && a.digest == b.digest {
		return nil
	}
	var out []Change
	for len(from) > 0 || len(to) > 0 {
		order := 0
		switch {
		case len(from) == 0:
			order = 1
		case len(to) == 0:
			order = -1
		default:
			order = strings.Compare(from[0].Path, to[0].Path)
		}
		switch {
		case order < 0:
			out = append(out, Change{Path: from[0].Path, Op: Removed, Old: from[0]})
			from = from[1:]
		case order > 0:
			out = append(out, Change{Path: to[0].Path, Op: Added, New: to[0]})
			to = to[1:]
		default:
			if from[0].Digest != to[0].Digest {
				out = append(out, Change{Path: to[0].Path, Op: Changed, Old: from[0], New: to[0]})
			}
			from, to = from[1:], to[1:]
		}
	}
	return out
}
