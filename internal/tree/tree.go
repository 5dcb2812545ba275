// Package tree holds an immutable snapshot of an app directory: its files with
// their content, read once, under limits, and never changed again.
//
// [Scan] reads a folder or a single file from disk; [New] and [Of] make a tree
// from content that is already in memory. A [Tree] is an [io/fs.FS], so engines
// and tests read the app from the snapshot and not from the disk, which may
// have moved on. [Diff] and [Unified] compare two trees.
//
// Two trees with the same paths and the same bytes have the same
// [Tree.Digest], whatever their files' times, owners or modes are.
//
// Trees and files are safe for concurrent use. The digest of a tree is kept on
// disk by internal/store; its definition does not change:
//
//	sha256("theseus tree 1\n" + for each file, sorted by path: path + "\x00" + hex digest + "\n")
package tree

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// A File is one file of a tree. Nothing of it may be changed.
type File struct {
	Path   string // relative to the root of the app, slash-separated
	Digest string // sha256 of Data, 64 lower-case hex digits
	Data   []byte
}

// A Tree is an immutable set of files. The zero value is not usable; an empty
// tree is New(nil).
type Tree struct {
	digest string
	files  []*File           // sorted by path
	byPath map[string]*File  // the same files
	dirs   map[string][]node // entries of each folder, sorted by name; "." is the root
	stamps map[string]stamp  // what Scan saw of each file on disk; nil for other trees
}

// New returns the tree of files. A digest that is empty is computed; one that is
// given is trusted. The slice is copied, the files are shared: they must not be
// changed afterwards.
//
// The error joins one [*FileError] for each path that is not acceptable: invalid,
// given twice, both a file and a folder, or equal to another but for letter case.
func New(files []*File) (*Tree, error) {
	return build(files, nil)
}

// Of returns the tree of files given as path and text, for tests and built-in
// apps. It panics when New would return an error.
func Of(files map[string]string) *Tree {
	list := make([]*File, 0, len(files))
	for p, text := range files {
		list = append(list, &File{Path: p, Data: []byte(text)})
	}
	t, err := New(list)
	if err != nil {
		panic(err)
	}
	return t
}

// Digest identifies the content of the tree: 64 lower-case hex digits.
func (t *Tree) Digest() string { return t.digest }

// Files returns all files sorted by path. The slice belongs to the caller, the
// files to the tree.
func (t *Tree) Files() []*File { return slices.Clone(t.files) }

// Len returns the number of files.
func (t *Tree) Len() int { return len(t.files) }

// File returns the file at path, and whether there is one.
func (t *Tree) File(path string) (*File, bool) {
	f, ok := t.byPath[path]
	return f, ok
}

// Sum returns the digest of data as it stands in [File.Digest].
func Sum(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

// Verify reports a file whose content is not that of its digest any more, as when
// memory or a program fails: a tree never changes.
func (t *Tree) Verify() error {
	for _, f := range t.files {
		if Sum(f.Data) != f.Digest {
			return fmt.Errorf("%s does not have the digest %.12s any more", quoted(f.Path), f.Digest)
		}
	}
	if digest(t.files) != t.digest {
		return fmt.Errorf("its files do not make up the tree %.12s any more", t.digest)
	}
	return nil
}

func build(files []*File, stamps map[string]stamp) (*Tree, error) {
	t := &Tree{
		files:  slices.Clone(files),
		byPath: make(map[string]*File, len(files)),
		stamps: stamps,
	}
	slices.SortFunc(t.files, func(a, b *File) int { return strings.Compare(a.Path, b.Path) })
	names := namer{seen: make(map[string]string, len(files))}
	for i, f := range t.files {
		if i > 0 && t.files[i-1].Path == f.Path {
			names.fail(f.Path, "is given twice", "keep one of the two")
			continue
		}
		names.add(f.Path)
		if f.Digest == "" {
			t.files[i] = &File{Path: f.Path, Digest: Sum(f.Data), Data: f.Data}
		}
		t.byPath[f.Path] = t.files[i]
	}
	if len(names.problems) > 0 {
		return nil, errors.Join(names.problems...)
	}
	t.dirs = folders(t.files)
	t.digest = digest(t.files)
	return t, nil
}

func digest(files []*File) string {
	h := sha256.New()
	h.Write([]byte("theseus tree 1\n"))
	var line []byte
	for _, f := range files {
		line = append(line[:0], f.Path...)
		line = append(line, 0)
		line = append(line, f.Digest...)
		line = append(line, '\n')
		h.Write(line)
	}
	return hex.EncodeToString(h.Sum(nil))
}
