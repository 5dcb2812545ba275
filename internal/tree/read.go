package tree

import (
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// A stamp is what the file system said of a file when it was read.
type stamp struct {
	size    int64
	mtime   int64 // nanoseconds since 1970
	ctime   int64 // the same; 0 where the system has none
	dev     uint64
	ino     uint64
	settled bool // the times were old enough for a later write to leave other ones
}

// racy is how old the times of a file must be for an unchanged stamp to prove
// unchanged content. Two seconds is the coarsest resolution in use (FAT).
const racy = 2 * time.Second

func (s *scanner) stamp(info fs.FileInfo) stamp {
	st := stamp{size: info.Size(), mtime: info.ModTime().UnixNano()}
	identify(info, &st)
	old := s.started.Add(-racy).UnixNano()
	st.settled = st.mtime < old && st.ctime < old
	return st
}

// file takes the regular file at into the tree as p: from the earlier tree when
// its stamp is the same, else by reading it.
func (s *scanner) file(p, at string, info fs.FileInfo) {
	if !s.fits(p, info.Size()) {
		return
	}
	st := s.stamp(info)
	var old *File
	if s.prev != nil {
		old = s.prev.byPath[p]
	}
	if old != nil {
		before, ok := s.prev.stamps[p]
		now := st
		now.settled = true
		if ok && before == now {
			s.add(old, before)
			return
		}
	}
	data, st, ok := s.read(p, at, info)
	if !ok {
		return
	}
	f := &File{Path: p, Digest: Sum(data), Data: data}
	if old != nil && old.Digest == f.Digest {
		f = old
	}
	s.add(f, st)
}

func (s *scanner) add(f *File, st stamp) {
	s.files = append(s.files, f)
	s.stamps[f.Path] = st
	s.total += int64(len(f.Data))
}

// fits reports whether a file of size bytes may be read, and notes the problem
// when it may not.
func (s *scanner) fits(p string, size int64) bool {
	limit, where, hint := s.opt.MaxFile, "outside public/", "keep large files in public/, or out of the app's folder"
	if strings.HasPrefix(p, "public/") {
		limit, where, hint = s.opt.MaxPublic, "in public/", "serve it from elsewhere"
	}
	switch {
	case size > limit:
		s.fail(p, fmt.Sprintf("has %s; the limit for a file %s is %s", bytesText(size), where, bytesText(limit)), hint, nil)
		return false
	case s.total+size > s.opt.MaxTotal:
		s.full = true
		s.fail(p, fmt.Sprintf("brings the app to more than %s", bytesText(s.opt.MaxTotal)),
			"move what is not part of the app out of its folder", nil)
		return false
	}
	return true
}

// read returns the content of the regular file that info describes. It is not
// ok when the file is another one by now or changes meanwhile.
func (s *scanner) read(p, at string, info fs.FileInfo) (data []byte, st stamp, ok bool) {
	// A pipe put in the file's place meanwhile must not block the open.
	f, err := s.root.OpenFile(filepath.FromSlash(at), os.O_RDONLY|nonblock, 0)
	if err != nil {
		s.unreadable(p, err)
		return nil, st, false
	}
	defer f.Close()
	before, err := f.Stat()
	if err != nil {
		s.unreadable(p, err)
		return nil, st, false
	}
	if was, is := s.stamp(info), s.stamp(before); was.dev != is.dev || was.ino != is.ino || !before.Mode().IsRegular() {
		s.moved = p
		return nil, st, false
	}
	if !s.fits(p, before.Size()) {
		return nil, st, false
	}
	data = make([]byte, before.Size())
	n, err := io.ReadFull(f, data)
	if err != nil && err != io.EOF && err != io.ErrUnexpectedEOF {
		s.unreadable(p, err)
		return nil, st, false
	}
	after, err := f.Stat()
	if err != nil {
		s.unreadable(p, err)
		return nil, st, false
	}
	if n != len(data) || s.stamp(before) != s.stamp(after) {
		s.moved = p
		return nil, st, false
	}
	return data, s.stamp(after), true
}

// bytesText writes a size as people do.
func bytesText(n int64) string {
	const units = "KMGTPE"
	if n < 1024 {
		return fmt.Sprintf("%d bytes", n)
	}
	v, u := float64(n)/1024, 0
	for v >= 1024 && u < len(units)-1 {
		v, u = v/1024, u+1
	}
	text := strings.TrimSuffix(fmt.Sprintf("%.1f", v), ".0")
	return text + " " + units[u:u+1] + "iB"
}
