package wire

import (
	"bytes"
	"encoding/binary"
	"errors"
	"os"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

func TestHeaderLayout(t *testing.T) {
	t.Parallel()
	frame, err := encode(Abort{Reason: "x"}, 3)
	if err != nil {
		t.Fatal(err)
	}
	want := append([]byte{0, 0, 0, 14, 11, 3, 0, 0}, `{"reason":"x"}`...)
	if !bytes.Equal(frame, want) {
		t.Errorf("frame = %q, want %q", frame, want)
	}
}

func TestCodec(t *testing.T) {
	t.Parallel()
	for _, m := range samples() {
		files := max(0, described(m))
		frame, err := encode(m, files)
		if err != nil {
			t.Fatalf("%#v: %v", m, err)
		}
		got, err := decode(m.kind(), frame[headerSize:], files)
		if err != nil {
			t.Fatalf("%#v: %v", m, err)
		}
		if !reflect.DeepEqual(got, m) {
			t.Errorf("decode(encode(%#v)) = %#v", m, got)
		}
	}
}

func TestDecodeRefuses(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		kind    kind
		payload string
		files   int
	}{
		"empty":                 {kindReady, "", 0},
		"null":                  {kindReady, "null", 0},
		"list":                  {kindReady, "[]", 0},
		"two objects":           {kindReady, "{}{}", 0},
		"cut":                   {kindAbort, `{"reason":"x`, 0},
		"wrong type":            {kindHello, `{"min":"1"}`, 0},
		"overflow":              {kindConnection, `{"id":18446744073709551616}`, 1},
		"not UTF-8":             {kindAbort, "{\"reason\":\"\xff\"}", 0},
		"not base64":            {kindServe, `{"singletons":{"a":"!"}}`, 0},
		"bad time":              {kindDraining, `{"processes":[{"since":"yesterday"}]}`, 0},
		"deep":                  {kindReady, `{"x":` + strings.Repeat("[", 100_000), 0},
		"socket without file":   {kindSockets, `{"sockets":[{"name":"a"}]}`, 0},
		"files without socket":  {kindSockets, `{}`, 1},
		"connection of no file": {kindConnection, `{}`, 0},
		"connection of two":     {kindConnection, `{}`, 2},
	} {
		if m, err := decode(test.kind, []byte(test.payload), test.files); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: decode = %v, %v, want ErrMalformed", name, m, err)
		}
	}
}

func TestDecodeIgnoresNewFields(t *testing.T) {
	t.Parallel()
	m, err := decode(kindHello, []byte(` {"min":1,"colour":{"a":[1]},"limits":{"state":5,"x":6}}`), 0)
	if err != nil {
		t.Fatal(err)
	}
	if want := (Hello{Min: 1, Limits: Limits{State: 5}}); !reflect.DeepEqual(m, want) {
		t.Errorf("decode = %#v, want %#v", m, want)
	}
}

func TestEncodeRefuses(t *testing.T) {
	t.Parallel()
	bad := "a\xff"
	for name, test := range map[string]struct {
		m     Message
		files int
		want  error
	}{
		"nil":              {nil, 0, ErrMalformed},
		"nil pointer":      {(*Hello)(nil), 0, ErrMalformed},
		"large":            {Serve{Singletons: map[string][]byte{"x": make([]byte, MaxPayload)}}, 0, ErrTooLarge},
		"large state data": {StateData{Data: make([]byte, MaxStateData+1)}, 0, ErrTooLarge},
		"many files":       {Ready{}, MaxFiles + 1, ErrTooLarge},
		"many sockets":     {Sockets{Sockets: make([]Socket, MaxFiles+1)}, MaxFiles + 1, ErrTooLarge},
		"missing file":     {Sockets{Sockets: make([]Socket, 2)}, 1, ErrMalformed},
		"lone connection":  {Connection{}, 0, ErrMalformed},
		"release":          {Hello{Release: Release{Path: bad}}, 0, ErrMalformed},
		"socket":           {&Sockets{Sockets: []Socket{{Unlink: bad}}}, 1, ErrMalformed},
		"state":            {State{Name: bad}, 0, ErrMalformed},
		"state end":        {StateEnd{Name: bad}, 0, ErrMalformed},
		"ready":            {Ready{Sockets: []string{bad}}, 0, ErrMalformed},
		"singleton":        {Serve{Singletons: map[string][]byte{bad: nil}}, 0, ErrMalformed},
		"listener":         {Connection{Listener: bad}, 1, ErrMalformed},
		"kind":             {Draining{Processes: []Process{{Connections: map[string]int{bad: 1}}}}, 0, ErrMalformed},
		"path":             {Request{Path: bad}, 0, ErrMalformed},
		"start":            {Start{Path: bad}, 0, ErrMalformed},
		"argument":         {Start{Args: []string{bad}}, 0, ErrMalformed},
		"variable":         {Start{Env: []string{bad}}, 0, ErrMalformed},
		"served":           {Served{Release: Release{Path: bad}}, 0, ErrMalformed},
	} {
		if frame, err := encode(test.m, test.files); !errors.Is(err, test.want) {
			t.Errorf("%s: encode = %d bytes, %v, want %v", name, len(frame), err, test.want)
		}
	}
	if _, err := encode(Abort{Reason: bad}, 0); err != nil {
		t.Errorf("a reason may have any bytes: %v", err)
	}
}

func TestParseHeader(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		length   uint32
		kind     kind
		files    byte
		reserved uint16
		want     error
	}{
		"largest":           {MaxPayload, kindAbort, MaxFiles, 0, nil},
		"reserved":          {0, kindAbort, 0, 0xffff, nil},
		"unknown kind":      {MaxPayload, 255, MaxFiles, 0, nil},
		"kind 0":            {0, 0, 0, 0, ErrMalformed},
		"payload":           {MaxPayload + 1, kindAbort, 0, 0, ErrTooLarge},
		"all bits":          {1<<32 - 1, 255, 255, 0xffff, ErrTooLarge},
		"unknown and large": {MaxPayload + 1, 255, 0, 0, ErrTooLarge},
		"state data":        {MaxStateData + 1, kindStateData, 0, 0, ErrTooLarge},
		"files":             {0, kindAbort, MaxFiles + 1, 0, ErrTooLarge},
	} {
		b := binary.BigEndian.AppendUint32(nil, test.length)
		b = append(b, byte(test.kind), test.files)
		b = binary.BigEndian.AppendUint16(b, test.reserved)
		if h, err := parseHeader(b); !errors.Is(err, test.want) {
			t.Errorf("%s: parseHeader = %+v, %v, want %v", name, h, err, test.want)
		}
	}
}

// The table in the package documentation is the one in the code.
func TestDocumentedKinds(t *testing.T) {
	t.Parallel()
	doc, err := os.ReadFile("doc.go")
	if err != nil {
		t.Fatal(err)
	}
	rows := regexp.MustCompile(`(?m)^//\t(\d+) +(.+?)  +(both|old|new|supervisor|worker)  `).FindAllStringSubmatch(string(doc), -1)
	if len(rows) != len(kinds)-1 {
		t.Fatalf("%d kinds documented, want %d", len(rows), len(kinds)-1)
	}
	for i, row := range rows {
		if row[1] != strconv.Itoa(i+1) || row[2] != kind(i+1).String() {
			t.Errorf("row %d is %s %s, want %d %s", i, row[1], row[2], i+1, kind(i+1))
		}
	}
}
