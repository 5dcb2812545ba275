package tree

import (
	"bytes"
	"io"
	"io/fs"
	"path"
	"slices"
	"sort"
	"strings"
	"time"
)

// A node is a file or a folder of the tree. It is its own fs.DirEntry and
// fs.FileInfo: all files are read-only and have no time.
type node struct {
	name string
	file *File // nil for a folder
}

func (n node) Name() string               { return n.name }
func (n node) IsDir() bool                { return n.file == nil }
func (n node) Type() fs.FileMode          { return n.Mode().Type() }
func (n node) Info() (fs.FileInfo, error) { return n, nil }
func (n node) ModTime() time.Time         { return time.Time{} }
func (n node) Sys() any                   { return n.file }

func (n node) Size() int64 {
	if n.file == nil {
		return 0
	}
	return int64(len(n.file.Data))
}

func (n node) Mode() fs.FileMode {
	if n.file == nil {
		return fs.ModeDir | 0o555
	}
	return 0o444
}

// String formats the entry as fs.FormatDirEntry does.
func (n node) String() string { return fs.FormatDirEntry(n) }

// folders returns the entries of every folder that files, sorted, lie in.
func folders(files []*File) map[string][]node {
	dirs := map[string][]node{".": nil}
	for _, f := range files {
		entry := node{name: path.Base(f.Path), file: f}
		for dir := path.Dir(f.Path); ; dir = path.Dir(dir) {
			_, known := dirs[dir]
			dirs[dir] = append(dirs[dir], entry)
			if known {
				break
			}
			entry = node{name: path.Base(dir)}
		}
	}
	for _, entries := range dirs {
		slices.SortFunc(entries, func(a, b node) int { return strings.Compare(a.name, b.name) })
	}
	return dirs
}

// find returns the node at name, which may be ".".
func (t *Tree) find(op, name string) (node, error) {
	if !fs.ValidPath(name) {
		return node{}, &fs.PathError{Op: op, Path: name, Err: fs.ErrInvalid}
	}
	if f, ok := t.byPath[name]; ok {
		return node{name: path.Base(name), file: f}, nil
	}
	if _, ok := t.dirs[name]; ok {
		return node{name: path.Base(name)}, nil
	}
	return node{}, &fs.PathError{Op: op, Path: name, Err: fs.ErrNotExist}
}

// Open opens the file or folder name. Files implement io.ReadSeeker and
// io.ReaderAt.
func (t *Tree) Open(name string) (fs.File, error) {
	n, err := t.find("open", name)
	if err != nil {
		return nil, err
	}
	if n.file == nil {
		return &openDir{node: n, path: name, rest: t.dirs[name]}, nil
	}
	return &openFile{Reader: bytes.NewReader(n.file.Data), node: n}, nil
}

// Stat describes the file or folder name. Times are zero.
func (t *Tree) Stat(name string) (fs.FileInfo, error) {
	n, err := t.find("stat", name)
	if err != nil {
		return nil, err
	}
	return n, nil
}

// ReadFile returns a copy of the content of name; [Tree.File] gives it without
// the copy.
func (t *Tree) ReadFile(name string) ([]byte, error) {
	n, err := t.find("read", name)
	if err != nil {
		return nil, err
	}
	if n.file == nil {
		return nil, &fs.PathError{Op: "read", Path: name, Err: errIsDir}
	}
	return append([]byte{}, n.file.Data...), nil
}

// ReadDir returns the entries of the folder name, sorted.
func (t *Tree) ReadDir(name string) ([]fs.DirEntry, error) {
	n, err := t.find("readdir", name)
	if err != nil {
		return nil, err
	}
	if n.file != nil {
		return nil, &fs.PathError{Op: "readdir", Path: name, Err: errNotDir}
	}
	return entries(t.dirs[name]), nil
}

// HasDir reports whether name is a folder of the tree. Folders without files are
// no part of a tree.
func (t *Tree) HasDir(name string) bool {
	_, ok := t.dirs[name]
	return ok
}

// Under returns the files below the folder dir, sorted by path.
func (t *Tree) Under(dir string) []*File {
	if dir == "." || dir == "" {
		return t.Files()
	}
	prefix := strings.TrimSuffix(dir, "/") + "/"
	from := sort.Search(len(t.files), func(i int) bool { return t.files[i].Path >= prefix })
	to := from
	for to < len(t.files) && strings.HasPrefix(t.files[to].Path, prefix) {
		to++
	}
	return slices.Clone(t.files[from:to])
}

func entries(nodes []node) []fs.DirEntry {
	out := make([]fs.DirEntry, len(nodes))
	for i, n := range nodes {
		out[i] = n
	}
	return out
}

type treeError string

func (e treeError) Error() string { return string(e) }

const (
	errIsDir  = treeError("is a folder")
	errNotDir = treeError("is not a folder")
)

type openFile struct {
	*bytes.Reader
	node node
}

func (f *openFile) Stat() (fs.FileInfo, error) { return f.node, nil }
func (f *openFile) Close() error               { return nil }

type openDir struct {
	node node
	path string
	rest []node
}

func (d *openDir) Stat() (fs.FileInfo, error) { return d.node, nil }
func (d *openDir) Close() error               { return nil }

func (d *openDir) Read([]byte) (int, error) {
	return 0, &fs.PathError{Op: "read", Path: d.path, Err: errIsDir}
}

func (d *openDir) ReadDir(n int) ([]fs.DirEntry, error) {
	if n > 0 && len(d.rest) == 0 {
		return nil, io.EOF
	}
	if n <= 0 || n > len(d.rest) {
		n = len(d.rest)
	}
	out := entries(d.rest[:n])
	d.rest = d.rest[n:]
	return out, nil
}
