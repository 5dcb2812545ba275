package expr

import (
	"encoding/json"

	"github.com/theseus-run/theseus/script"
)

// Fits reports whether v as JSON takes at most max bytes, without making the
// text. It counts what strings hold and not what escapes add, and stops as soon
// as the answer is known, so that a value which holds the same part a million
// times costs little.
func Fits(v any, max int64) bool { return size(v, max) >= 0 }

// size returns what is left of room once v is written, negative when it is not enough.
func size(v any, room int64) int64 {
	switch x := v.(type) {
	case nil, bool:
		return room - 4
	case string:
		return room - int64(len(x)) - 2
	case json.Number:
		return room - int64(len(x))
	case []any:
		room -= 2
		for _, item := range x {
			if room = size(item, room-1); room < 0 {
				return room
			}
		}
		return room
	case map[string]any:
		room -= 2
		for k, item := range x {
			if room = size(item, room-int64(len(k))-4); room < 0 {
				return room
			}
		}
		return room
	case script.Value:
		text, err := x.Text()
		if err != nil {
			return room
		}
		return room - int64(len(text))
	}
	return room - 1
}
