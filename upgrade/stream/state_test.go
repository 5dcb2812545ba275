package stream

import (
	"encoding/json"
	"errors"
	"testing"
)

func TestState(t *testing.T) {
	t.Parallel()
	data, err := encodeState(envelope{Type: typeSocket, Protocol: "p"}, ticks{Next: 3})
	if err != nil {
		t.Fatal(err)
	}
	var s ticks
	env, err := decodeState(data, typeSocket, &s)
	if err != nil || s.Next != 3 || env.Protocol != "p" || env.Chunked {
		t.Errorf("decodeState = %+v, %+v, %v", env, s, err)
	}
	if _, err := encodeState(envelope{}, make(chan int)); err == nil {
		t.Error("a channel was encoded")
	}
}

func TestStateRefused(t *testing.T) {
	t.Parallel()
	for name, data := range map[string]string{
		"empty":         ``,
		"garbage":       `}`,
		"other JSON":    `[1]`,
		"null":          `null`,
		"old version":   `{"v":0,"type":"events","state":{}}`,
		"new version":   `{"v":2,"type":"events","state":{}}`,
		"other type":    `{"v":1,"type":"socket","state":{}}`,
		"no state":      `{"v":1,"type":"events"}`,
		"other state":   `{"v":1,"type":"events","state":{"Next":"x"}}`,
		"trailing data": `{"v":1,"type":"events","state":{}}x`,
	} {
		var s ticks
		if _, err := decodeState([]byte(data), typeEvents, &s); !errors.Is(err, errState) {
			t.Errorf("%s: err = %v, want errState", name, err)
		}
	}
	var s ticks
	if _, err := decodeState([]byte(`{"v":1,"type":"events","new":1,"state":{"Next":4}}`), typeEvents, &s); err != nil || s.Next != 4 {
		t.Errorf("unknown field: %+v, %v", s, err)
	}
}

func FuzzState(f *testing.F) {
	f.Add([]byte(`{"v":1,"type":"events","chunked":true,"state":{"Next":1,"Calls":2}}`))
	f.Add([]byte(`{"v":1,"type":"events","state":null}`))
	f.Add([]byte(`{"v":2}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		var s ticks
		env, err := decodeState(data, typeEvents, &s)
		if err != nil {
			if !errors.Is(err, errState) {
				t.Errorf("err = %v does not wrap errState", err)
			}
			return
		}
		again, err := encodeState(env, s)
		if err != nil {
			t.Fatal(err)
		}
		var s2 ticks
		if env2, err := decodeState(again, typeEvents, &s2); err != nil || s2 != s || env2.Chunked != env.Chunked || !json.Valid(again) {
			t.Errorf("%s became %s: %v", data, again, err)
		}
	})
}
