package executable

import (
	"encoding/json"
	"errors"
	"testing"
)

// FuzzInspect walks files of which only the beginning is not zero, without the
// guard against panics.
func FuzzInspect(f *testing.F) {
	for _, p := range platforms {
		b := bytesOf(f, hello(f, p.goos, p.goarch), nil)
		f.Add(b[:4096], uint32(len(b)-4096))
	}
	fat := fatOf(f, []byte("\xcf\xfa\xed\xfe\x07\x00\x00\x01"), []byte("\xcf\xfa\xed\xfe\x0c\x00\x00\x01"))
	f.Add(fat[:128], uint32(len(fat)))
	f.Add(dynamicProgram(f, "/lib64/ld-linux-x86-64.so.2", "libc.so.6", "libm.so.6"), uint32(0))
	for _, text := range []string{"", "#!/bin/sh\n", "#!/usr/bin/env -S a b\n", "#!\r\n", "\ufeff#!/bin/sh\n", "MZ", "\x7fELF", buildMagic} {
		f.Add([]byte(text), uint32(0))
	}
	f.Fuzz(func(t *testing.T, head []byte, tail uint32) {
		size := int64(len(head)) + int64(tail%(4<<20))
		i := &Info{Path: "fuzz", Size: size, Format: FormatUnknown}
		err := i.walk(source{sparse{head, size}, 0, size})
		ce, ok := errors.AsType[*CheckError](err)
		if err != nil && !ok {
			t.Fatalf("error of type %T: %v", err, err)
		}
		i.Damage = ce
		if ok && (ce.Err == nil || ce.Hint == "" || ce.Check == "") {
			t.Errorf("incomplete error %+v", ce)
		}
		if len(i.Sections) > MaxSections || len(i.Segments) > MaxSegments || len(i.Libraries) > MaxLibraries || len(i.Arches) > MaxArches {
			t.Errorf("%d sections, %d segments, %d libraries, %d arches", len(i.Sections), len(i.Segments), len(i.Libraries), len(i.Arches))
		}
		for _, s := range i.Sections {
			if len(s.Name) > 3*(2*MaxText+1) { // an invalid byte becomes three
				t.Errorf("a name of %d bytes", len(s.Name))
			}
		}
		if err := i.Runnable("linux", "amd64"); err == nil && i.Format != FormatELF && i.Format != FormatScript {
			t.Errorf("%s passes for linux", i.Format)
		}
		if _, err := json.Marshal(i); err != nil {
			t.Error(err)
		}
	})
}

// FuzzBuild reads build information that is not what the linker writes.
func FuzzBuild(f *testing.F) {
	b := bytesOf(f, native(f), nil)
	i := inspected(f, native(f))
	for _, s := range i.Sections {
		if s.Name == ".go.buildinfo" || s.Name == "__DATA,__go_buildinfo" {
			f.Add(b[s.Offset : s.Offset+s.Size])
		}
	}
	f.Add([]byte(buildMagic + "\x08\x02"))
	f.Fuzz(func(t *testing.T, b []byte) {
		size := int64(len(b))
		build, err := readBuild(source{sparse{b, size}, 0, size}, 0, 0, uint64(size))
		if (build == nil) != (err != nil) || err != nil && !errors.Is(err, errNoBuild) && !errors.Is(err, errOddBuild) {
			t.Errorf("build %v, error %v", build, err)
		}
	})
}
