package app

import (
	"encoding/json"
	"testing"
)

func FuzzHandover(f *testing.F) {
	f.Add([]byte(`{"version":1,"generation":1,"digest":"x","staged":{"digest":"y"},"jobs":{"jobs":[{"name":"tick","spec":{"Every":50000000},"number":3}]},"kv":"{}"}`))
	f.Add([]byte(`{"version":2,"generation":1}`))
	f.Add([]byte(`null`))
	f.Fuzz(func(t *testing.T, state []byte) {
		h, err := decodeHandover(state)
		if err != nil || h == nil {
			return
		}
		if h.Version != handoverVersion || h.Generation < 1 {
			t.Fatalf("accepted version %d, generation %d", h.Version, h.Generation)
		}
		text, err := json.Marshal(h)
		if err != nil {
			t.Fatal(err)
		}
		again, err := decodeHandover(text)
		if err != nil || again.Digest != h.Digest || len(again.Jobs.Jobs) != len(h.Jobs.Jobs) {
			t.Fatalf("%+v became %+v (%v)", h, again, err)
		}
	})
}
