package wire

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"unicode/utf8"
)

// Limits of a frame. They are part of the protocol.
const (
	MaxPayload   = 1 << 20  // bytes of payload in a frame
	MaxStateData = 64 << 10 // bytes in one [StateData]
	MaxFiles     = 64       // descriptors with one frame; Linux allows 253
)

const headerSize = 8

// A header is the first 8 bytes of a frame.
type header struct {
	length int
	kind   kind
	files  int
}

func (h header) append(b []byte) []byte {
	b = binary.BigEndian.AppendUint32(b, uint32(h.length))
	return append(b, byte(h.kind), byte(h.files), 0, 0)
}

// parseHeader reads and checks a header of headerSize bytes.
func parseHeader(b []byte) (header, error) {
	length := binary.BigEndian.Uint32(b)
	h := header{kind: kind(b[4]), files: int(b[5])}
	if h.kind == 0 {
		return h, fmt.Errorf("%w: kind 0", ErrMalformed)
	}
	if length > MaxPayload {
		return h, fmt.Errorf("%w: %s of %d bytes, at most %d", ErrTooLarge, h.kind, length, MaxPayload)
	}
	h.length = int(length)
	return h, h.check()
}

// check holds h against the limits that both directions share.
func (h header) check() error {
	limit := MaxPayload
	if h.kind == kindStateData {
		limit = MaxStateData
	}
	if h.length > limit {
		return fmt.Errorf("%w: %s of %d bytes, at most %d", ErrTooLarge, h.kind, h.length, limit)
	}
	if h.files > MaxFiles {
		return fmt.Errorf("%w: %s with %d descriptors, at most %d", ErrTooLarge, h.kind, h.files, MaxFiles)
	}
	return nil
}

// encode makes the frame of m that files descriptors travel with.
func encode(m Message, files int) ([]byte, error) {
	m, err := byValue(m)
	if err != nil {
		return nil, err
	}
	if err := checkFiles(m, files); err != nil {
		return nil, err
	}
	if err := checkText(m); err != nil {
		return nil, err
	}
	payload, err := encodePayload(m)
	if err != nil {
		return nil, err
	}
	h := header{length: len(payload), kind: m.kind(), files: files}
	if err := h.check(); err != nil {
		return nil, err
	}
	return append(h.append(make([]byte, 0, headerSize+len(payload))), payload...), nil
}

// byValue returns the message that m is or points to.
func byValue(m Message) (Message, error) {
	v := reflect.ValueOf(m)
	if v.Kind() == reflect.Pointer {
		v = v.Elem()
	}
	if !v.IsValid() {
		return nil, fmt.Errorf("%w: no message", ErrMalformed)
	}
	return v.Interface().(Message), nil
}

func encodePayload(m Message) ([]byte, error) {
	if m, ok := m.(StateData); ok {
		return m.Data, nil
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(m); err != nil {
		return nil, fmt.Errorf("%w: %v", ErrMalformed, err)
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

// decode makes the message of a known kind from its payload.
func decode(k kind, payload []byte, files int) (Message, error) {
	m, err := kinds[k].decode(payload)
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %v", ErrMalformed, k, err)
	}
	return m, checkFiles(m, files)
}

func decodeRaw(payload []byte) (Message, error) { return StateData{Data: payload}, nil }

func decodeJSON[T Message](payload []byte) (Message, error) {
	var m T
	if !bytes.HasPrefix(bytes.TrimLeft(payload, " \t\r\n"), []byte("{")) {
		return m, errors.New("payload is not a JSON object")
	}
	if !utf8.Valid(payload) {
		return m, errors.New("payload is not UTF-8")
	}
	err := json.Unmarshal(payload, &m)
	return m, err
}

// checkFiles holds the number of descriptors against what m describes.
func checkFiles(m Message, files int) error {
	if c, ok := m.(interface{ files() int }); ok && c.files() != files {
		return fmt.Errorf("%w: %s describes %d descriptors and has %d", ErrMalformed, m.kind(), c.files(), files)
	}
	return nil
}
