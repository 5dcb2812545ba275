package delta

import (
	"crypto/sha256"
	"encoding/binary"
)

// What is read of a Mach-O code signature (xnu, osfmk/kern/cs_blobs.h): all
// numbers are big-endian.
const (
	loadCodeSignature = 0x1d
	superBlob         = 0xfade0cc0
	codeDirectory     = 0xfade0c02
	hashSHA256        = 2
)

// signature adds to d the digests of pages in a Mach-O code signature.
func signature(b []byte, l *layout, d derived) derived {
	if l.format != "macho" {
		return d
	}
	off, n := signatureAt(b)
	if n < 12 || off > len(b) || n > len(b)-off {
		return d
	}
	s := b[off : off+n]
	be := binary.BigEndian
	if be.Uint32(s) != superBlob {
		return d
	}
	for i := 12; i+8 <= len(s) && i < 12+8*int(min(be.Uint32(s[8:]), 16)); i += 8 {
		at := int(be.Uint32(s[i+4:]))
		if at > len(s)-44 || be.Uint32(s[at:]) != codeDirectory || s[at+37] != hashSHA256 {
			continue
		}
		with := d
		with.hashes = uint64(off) + uint64(at) + uint64(be.Uint32(s[at+16:]))
		with.limit, with.page = uint64(be.Uint32(s[at+32:])), uint64(s[at+39])
		if with.limit == 0 || !with.valid(uint64(len(b))) || pages(with.limit, with.page) != uint64(be.Uint32(s[at+28:])) {
			continue
		}
		first := sha256.Sum256(b[:min(with.limit, 1<<with.page)])
		if string(b[with.hashes:with.hashes+32]) == string(first[:]) {
			return with
		}
	}
	return d
}

// signatureAt finds the code signature's offset and size in a 64-bit Mach-O
// file.
func signatureAt(b []byte) (off, n int) {
	if len(b) < 32 {
		return 0, 0
	}
	le := binary.LittleEndian
	at := 32
	for range min(le.Uint32(b[16:]), 1024) {
		if at+16 > len(b) {
			break
		}
		size := le.Uint32(b[at+4:])
		if le.Uint32(b[at:]) == loadCodeSignature {
			return int(le.Uint32(b[at+8:])), int(le.Uint32(b[at+12:]))
		}
		if size < 8 || size > 1<<20 {
			break
		}
		at += int(size)
	}
	return 0, 0
}
