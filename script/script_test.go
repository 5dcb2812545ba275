package script

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"testing"
	"time"
)

func TestErrorText(t *testing.T) {
	tests := []struct {
		e    *Error
		want string
	}{
		{&Error{Message: "m"}, "m"}, {&Error{Message: "m", File: "a.js"}, "a.js: m"}, {&Error{Message: "m", File: "a.js", Line: 3}, "a.js:3: m"},
		{&Error{Message: "m", File: "a.js", Line: 3, Column: 7}, "a.js:3:7: m"}, {&Error{Message: "m", Line: 3, Column: 7}, "m"},
	}
	for _, tt := range tests {
		if got := tt.e.Error(); got != tt.want {
			t.Errorf("%+v = %q, want %q", *tt.e, got, tt.want)
		}
	}
	e := (&Error{File: "a.js", Line: 2, Column: 2}).WithFrame([]byte("one\ntwo\n"))
	if !strings.Contains(e.Frame, "> 2 | two") {
		t.Errorf("frame: %s", e.Frame)
	}
}

func TestKindOf(t *testing.T) {
	cause := errors.New("cause")
	e := &Error{Kind: Denied, Err: cause}
	if KindOf(nil) != "" || KindOf(cause) != Failed || KindOf(fmt.Errorf("wrapped: %w", e)) != Denied {
		t.Error("KindOf")
	}
	if !errors.Is(e, cause) {
		t.Error("Unwrap")
	}
	if KindOf(&Error{Kind: Failed, Err: e}) != Failed {
		t.Error("the first error of the tree decides")
	}
}

func TestLimit(t *testing.T) {
	l := LimitTime | LimitDepth
	if got := l.String(); got != "time, depth" {
		t.Error(got)
	}
	if !l.Has(LimitTime) || l.Has(LimitTime|LimitMemory) || !l.Has(0) {
		t.Error("Has")
	}
}

func TestLimitsDefaults(t *testing.T) {
	if got := (Limits{}).WithDefaults(); got != DefaultLimits {
		t.Errorf("%+v", got)
	}
	own := Limits{Time: time.Second, Memory: 1, Depth: 2, Output: 3}
	if got := own.WithDefaults(); got != own {
		t.Errorf("%+v", got)
	}
}

// stub is an engine that remembers what it was asked.
type stub struct {
	ext    string
	limits *Limits
}

func (s stub) Name() string         { return s.ext }
func (s stub) Extensions() []string { return []string{s.ext} }
func (s stub) Enforces() Limit      { return 0 }
func (s stub) Compile(_ context.Context, _ fs.FS, _ string, l Limits) (Unit, error) {
	*s.limits = l
	return nil, nil
}

func TestSet(t *testing.T) {
	var seen Limits
	set := Set{stub{".b", &seen}, stub{".a", &seen}}
	if e, ok := set.For("x/y.a"); !ok || e.Name() != ".a" {
		t.Errorf("%v %v", e, ok)
	}
	if _, err := set.Compile(t.Context(), nil, "x.b", Limits{Depth: 5}); err != nil || seen.Depth != 5 || seen.Time != DefaultLimits.Time {
		t.Errorf("%+v %v", seen, err)
	}
	_, err := set.Compile(t.Context(), nil, "x.c", Limits{})
	e, ok := errors.AsType[*Error](err)
	if !ok || e.Kind != Refused || !strings.Contains(e.Message, `".c"`) || e.Hint != "known extensions: .a .b" {
		t.Errorf("%+v", e)
	}
}

func TestHostFunc(t *testing.T) {
	var h Host = HostFunc(func(_ context.Context, c string, args []Value) (Value, error) { return Of(c + args[0].String()), nil })
	if v, err := h.Call(t.Context(), "x", []Value{Of(1)}); err != nil || v.Tree() != "x1" {
		t.Errorf("%v %v", v, err)
	}
}
