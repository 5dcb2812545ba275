package executable

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"unicode/utf8"
)

// parse fills in what the bytes of the file say. What is wrong with them goes to
// i.Damage; an error is one of reading.
func (i *Info) parse(src source) error {
	err := i.guarded(src)
	ce, ok := errors.AsType[*CheckError](err)
	if !ok {
		return err
	}
	ce.Path = i.Path
	i.Damage = ce
	return nil
}

// guarded turns a panic into damage: the walk over a hostile file must not end
// the process even if a bound is wrong.
func (i *Info) guarded(src source) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = malformed("its headers contradict each other (%v)", r)
		}
	}()
	return i.walk(src)
}

// walk finds the format by the first bytes.
func (i *Info) walk(src source) error {
	if src.size == 0 {
		return &CheckError{Check: CheckEmpty, Err: errors.New("it is empty"),
			Hint: "build or copy the program again: the last attempt left no data, perhaps on a full disk"}
	}
	head, err := src.some(0, scriptHead)
	if err != nil {
		return err
	}
	switch {
	case bytes.HasPrefix(head, []byte("\x7fELF")):
		i.Format = FormatELF
		return i.elf(src, head)
	case isPE(src, head):
		i.Format = FormatPE
		return i.pe(src)
	case isMachO(head):
		i.Format = FormatMachO
		return i.macho(src)
	case isFat(head):
		i.Format = FormatFat
		return i.fat(src)
	case bytes.HasPrefix(head, []byte("#!")):
		i.Format, i.Type = FormatScript, TypeText
		return i.script(head)
	case isText(head):
		i.Type = TypeText
		return noShebang(head)
	}
	return malformed("its first bytes (% x) are those of no program format known here", head[:min(len(head), 8)])
}

// isText reports whether head could begin a text.
func isText(head []byte) bool {
	if bytes.IndexByte(head, 0) >= 0 {
		return false
	}
	for n := 0; n < utf8.UTFMax && n < len(head); n++ { // the end may cut a character
		if utf8.Valid(head[:len(head)-n]) {
			return true
		}
	}
	return false
}

// goBuild reads the Go build information in the file's bytes [off, off+size),
// which are loaded at address addr.
func (i *Info) goBuild(src source, off, addr, size uint64) error {
	b, err := readBuild(src, off, addr, size)
	switch {
	case errors.Is(err, errNoBuild):
		return nil
	case errors.Is(err, errOddBuild):
		i.note("%v", err)
		return nil
	case err != nil:
		return err
	}
	i.Build = b
	if i.GOOS == "" {
		i.GOOS = b.GOOS
	}
	return nil
}

// orderName names a byte order.
func orderName(o binary.ByteOrder) string {
	if o == binary.ByteOrder(binary.BigEndian) {
		return "big"
	}
	return "little"
}

func hex64(n uint64) string { return fmt.Sprintf("%#x", n) }
