package tree

import (
	"errors"
	"io/fs"
	"path"
	"path/filepath"
	"strings"
)

// maxHops is how many links one path may lead through, as in Linux.
const maxHops = 40

var (
	errEscapes = errors.New("link leads outside the app")
	errLoops   = errors.New("link leads to itself")
	errHidden  = errors.New("link leads to a hidden file")
)

// follow returns the place and the description of what the link p, in the real
// folder dir, leads to. When that cannot be part of the app the problem is noted
// and ok is false.
func (s *scanner) follow(p, dir string) (at string, info fs.FileInfo, ok bool) {
	at, info, err := s.resolve(dir, path.Base(p))
	switch {
	case err == nil:
		return at, info, true
	case errors.Is(err, errEscapes):
		s.fail(p, "is a link that leads outside the app", "copy the file into the app instead", err)
	case errors.Is(err, errHidden):
		s.fail(p, "is a link that leads to a hidden file or folder", "what is hidden is no part of the app: move it, or copy the file", err)
	case errors.Is(err, errLoops):
		s.fail(p, "is a link that leads to itself", "remove the link", err)
	case errors.Is(err, fs.ErrNotExist):
		// If a link on the way was replaced meanwhile, run finds that out and
		// starts over; if not, this is what is wrong.
		s.fail(p, "is a link to a file that does not exist", "remove the link or restore its target", err)
	default:
		s.unreadable(p, err)
	}
	return "", nil, false
}

// resolve follows name, in the real folder dir, to what is no link. Every link
// is read once per scan, so that all paths through "..data" agree. Each step is
// taken inside the root; the result names no link, and is opened through
// [os.Root], which refuses one put there meanwhile.
func (s *scanner) resolve(dir, name string) (string, fs.FileInfo, error) {
	at, rest := dir, []string{name}
	var info fs.FileInfo
	for hops := 0; len(rest) > 0; {
		step := rest[0]
		rest = rest[1:]
		switch step {
		case "", ".":
			continue
		case "..":
			if at == "." {
				return "", nil, errEscapes
			}
			at, info = path.Dir(at), nil
			continue
		}
		// Hidden files hold secrets, .theseus the admin token and what each update
		// writes. "..data" and its like are how Kubernetes mounts a ConfigMap.
		if strings.HasPrefix(step, ".") && !strings.HasPrefix(step, "..") {
			return "", nil, errHidden
		}
		next := path.Join(at, step)
		var err error
		if info, err = s.root.Lstat(filepath.FromSlash(next)); err != nil {
			return "", nil, err
		}
		if info.Mode()&fs.ModeSymlink == 0 {
			at = next
			continue
		}
		if hops++; hops > maxHops {
			return "", nil, errLoops
		}
		target, err := s.readlink(next)
		if err != nil {
			return "", nil, err
		}
		if abs, inside := s.inside(target); inside {
			at, target = ".", abs
		} else if abs != "" {
			return "", nil, errEscapes
		}
		rest = append(strings.Split(target, "/"), rest...)
		info = nil
	}
	if info == nil {
		var err error
		if info, err = s.root.Lstat(filepath.FromSlash(at)); err != nil {
			return "", nil, err
		}
	}
	return at, info, nil
}

func (s *scanner) readlink(at string) (string, error) {
	if target, ok := s.links[at]; ok {
		return target, nil
	}
	target, err := s.root.Readlink(filepath.FromSlash(at))
	if err != nil {
		return "", err
	}
	target = filepath.ToSlash(target)
	s.links[at] = target
	return target, nil
}

// inside returns an absolute target as a path relative to the root, and whether
// it lies there; "" for a relative target.
func (s *scanner) inside(target string) (string, bool) {
	name := filepath.FromSlash(target)
	if !filepath.IsAbs(name) && !strings.HasPrefix(target, "/") {
		return "", false
	}
	for _, root := range s.names {
		rel, err := filepath.Rel(root, name)
		if err == nil && filepath.IsLocal(rel) {
			return filepath.ToSlash(rel), true
		}
	}
	return target, false
}
