package executable

import (
	"bytes"
	"debug/macho"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"strings"
)

// Load commands that debug/macho does not name (<mach-o/loader.h>).
const (
	machoLoadWeak       = 0x80000018
	machoReexport       = 0x8000001f
	machoLazy           = 0x20
	machoUpward         = 0x80000023
	machoUUID           = 0x1b
	machoCodeSignature  = 0x1d
	machoVersionIPhone  = 0x25
	machoBuildVersion   = 0x32
	machoPlatformMacOS  = 1
	machoMaxCommands    = 4096
	machoProtR          = 1
	machoProtW          = 2
	machoProtX          = 4
	machoZeroFill       = 1 // section types without bytes in the file
	machoGBZeroFill     = 0xc
	machoThreadZeroFill = 0x12
)

// A machoFile walks a Mach-O file, or one part of a fat one.
type machoFile struct {
	*Info
	src    source
	order  binary.ByteOrder
	head   macho.FileHeader
	signed bool
}

// isMachO reports whether head begins with a Mach-O magic of any byte order.
func isMachO(head []byte) bool {
	return bytes.HasPrefix(head, []byte{0xfe, 0xed, 0xfa, 0xce}) || bytes.HasPrefix(head, []byte{0xfe, 0xed, 0xfa, 0xcf}) ||
		bytes.HasPrefix(head, []byte{0xce, 0xfa, 0xed, 0xfe}) || bytes.HasPrefix(head, []byte{0xcf, 0xfa, 0xed, 0xfe})
}

func (i *Info) macho(src source) error {
	f := &machoFile{Info: i, src: src, order: binary.LittleEndian}
	f.GOOS = "darwin" // unless a command says otherwise
	if err := f.header(); err != nil {
		return err
	}
	if err := f.commands(); err != nil {
		return err
	}
	f.Info.header("code signature", "%t", f.signed)
	return f.build()
}

// header reads the file header.
func (f *machoFile) header() error {
	magic, err := f.src.read(0, 4, "Mach-O header")
	if err != nil {
		return err
	}
	if magic[0] == 0xfe {
		f.order = binary.BigEndian
	}
	if err := f.src.decode(0, f.order, &f.head, "Mach-O header"); err != nil {
		return err
	}
	f.Bits = 32
	if f.wide() {
		f.Bits = 64
	}
	f.ByteOrder = orderName(f.order)
	f.Machine = f.head.Cpu.String()
	f.GOARCH = machoArch(f.head.Cpu)
	switch f.head.Type {
	case macho.TypeExec:
		f.Type = TypeExecutable
		if f.head.Flags&macho.FlagPIE != 0 {
			f.Type = TypePIE
		}
	case macho.TypeDylib, macho.TypeBundle:
		f.Type = TypeLibrary
	case macho.TypeObj:
		f.Type = TypeObject
	case 4: // MH_CORE
		f.Type = TypeCore
	default:
		f.Type = TypeOther
	}
	f.Info.header("mach-o type", "%s", f.head.Type)
	f.Info.header("flags", "%#x", f.head.Flags)
	f.Info.header("load commands", "%d of %d bytes", f.head.Ncmd, f.head.Cmdsz)
	return nil
}

func (f *machoFile) wide() bool { return f.head.Magic == macho.Magic64 }

// commands walks the load commands, which follow the header.
func (f *machoFile) commands() error {
	at := uint64(binary.Size(f.head))
	if f.wide() {
		at += 4 // reserved
	}
	if f.head.Ncmd > machoMaxCommands {
		return malformed("it has %d load commands, more than the limit of %d", f.head.Ncmd, machoMaxCommands)
	}
	b, err := f.src.read(at, uint64(f.head.Cmdsz), "table of load commands")
	if err != nil {
		return err
	}
	for k := range f.head.Ncmd {
		if len(b) < 8 {
			return malformed("its load commands end after %d of %d", k, f.head.Ncmd)
		}
		size := f.order.Uint32(b[4:])
		if size < 8 || uint64(size) > uint64(len(b)) {
			return malformed("its load command %d has %d bytes", k, size)
		}
		if err := f.command(f.order.Uint32(b), b[:size]); err != nil {
			return err
		}
		b = b[size:]
	}
	return nil
}

// command reads one load command.
func (f *machoFile) command(kind uint32, b []byte) error {
	switch kind {
	case uint32(macho.LoadCmdSegment), uint32(macho.LoadCmdSegment64):
		return f.segment(kind == uint32(macho.LoadCmdSegment64), b)
	case uint32(macho.LoadCmdDylib), machoLoadWeak, machoReexport, machoLazy, machoUpward:
		if len(f.Libraries) < MaxLibraries {
			f.Libraries = append(f.Libraries, f.text(b))
		}
	case uint32(macho.LoadCmdDylinker):
		f.Interpreter = f.text(b)
	case machoUUID:
		if len(b) >= 24 {
			f.BuildID = hex.EncodeToString(b[8:24])
		}
	case machoVersionIPhone:
		f.GOOS = "ios"
	case machoBuildVersion:
		if len(b) >= 16 {
			f.platform(f.order.Uint32(b[8:]), f.order.Uint32(b[12:]))
		}
	case machoCodeSignature:
		f.signed = true
		if len(b) >= 16 {
			if off, n := uint64(f.order.Uint32(b[8:])), uint64(f.order.Uint32(b[12:])); !f.src.within(off, n) {
				return f.src.truncated("code signature", off, n)
			}
		}
	}
	return nil
}

// text is the text of a command whose offset is its third word.
func (f *machoFile) text(b []byte) string {
	if len(b) < 12 {
		return ""
	}
	return cstringAt(b, uint64(f.order.Uint32(b[8:])))
}

// platform reads the operating system and its lowest version.
func (f *machoFile) platform(id, low uint32) {
	f.Info.header("minimum system", "%d.%d.%d", low>>16, low>>8&0xff, low&0xff)
	switch id {
	case machoPlatformMacOS:
		f.GOOS = "darwin"
	case 2, 7: // iOS, its simulator
		f.GOOS = "ios"
	default:
		f.GOOS = fmt.Sprintf("apple-platform-%d", id)
	}
}

// build reads Go build information.
func (f *machoFile) build() error {
	for _, s := range f.Sections {
		if strings.HasSuffix(s.Name, ",__go_buildinfo") {
			return f.goBuild(f.src, s.Offset, s.Address, s.Size)
		}
	}
	for _, s := range f.Segments {
		if s.FileSize > 0 && s.Flags == "rw-" {
			return f.goBuild(f.src, s.Offset, s.Address, s.FileSize)
		}
	}
	return nil
}
