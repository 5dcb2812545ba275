package executable

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"
)

// maxRead bounds one read, and so what headers can make us allocate at once.
const maxRead = 1 << 20

// A source is a file, or a part of one: offsets count from base, and nothing
// lies beyond size.
type source struct {
	r          io.ReaderAt
	base, size int64
}

// within reports whether n bytes at off are there.
func (s source) within(off, n uint64) bool {
	size := uint64(s.size)
	return off <= size && n <= size-off
}

// read returns n bytes at off; what names them in the error.
func (s source) read(off, n uint64, what string) ([]byte, error) {
	if !s.within(off, n) {
		return nil, s.truncated(what, off, n)
	}
	if n > maxRead {
		return nil, malformed("its %s has %d bytes, more than the limit of %d", what, n, maxRead)
	}
	b := make([]byte, n)
	got, err := s.r.ReadAt(b, s.base+int64(off))
	switch {
	case got == len(b):
		return b, nil
	case errors.Is(err, io.EOF): // it shrank after its size was asked for
		return nil, s.truncated(what, off, n)
	}
	return nil, err
}

// some returns up to n bytes at off, none if the source ends before off.
func (s source) some(off, n uint64) ([]byte, error) {
	if off >= uint64(s.size) {
		return nil, nil
	}
	return s.read(off, min(n, uint64(s.size)-off, maxRead), "data")
}

// decode reads a fixed-size structure at off into v.
func (s source) decode(off uint64, order binary.ByteOrder, v any, what string) error {
	b, err := s.read(off, uint64(binary.Size(v)), what)
	if err != nil {
		return err
	}
	_, err = binary.Decode(b, order, v)
	return err
}

// truncated says that the file ends too early.
func (s source) truncated(what string, off, n uint64) *CheckError {
	end := fmt.Sprint(off + n)
	if off+n < off {
		end = "beyond any file"
	}
	return &CheckError{
		Check: CheckTruncated,
		Err:   fmt.Errorf("it is cut off: its %s ends at byte %s, the file at byte %d", what, end, s.size),
		Hint:  "copy it again, and start it only when the copy is whole: compare its size or digest with the original",
	}
}

// malformed says that the file breaks the rules of its format.
func malformed(format string, args ...any) *CheckError {
	return &CheckError{
		Check: CheckFormat,
		Err:   fmt.Errorf(format, args...),
		Hint:  "the file is damaged or no program: build or copy it again",
	}
}

// cstring is the text of b up to its first NUL, at most [MaxText] bytes of it.
func cstring(b []byte) string {
	b = b[:min(len(b), MaxText)]
	if i := bytes.IndexByte(b, 0); i >= 0 {
		b = b[:i]
	}
	return strings.ToValidUTF8(string(b), "\uFFFD")
}

// cstringAt is the text at offset off of a string table, empty beyond its end.
func cstringAt(table []byte, off uint64) string {
	if off >= uint64(len(table)) {
		return ""
	}
	return cstring(table[off:])
}
