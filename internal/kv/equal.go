package kv

import (
	"bytes"
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// isNull reports whether a text is null or none.
func isNull(text []byte) bool {
	return text == nil || string(bytes.TrimSpace(text)) == "null"
}

// Equal reports whether two values mean the same, as [Store.CAS] compares them. What
// is not JSON equals only the same text.
func Equal(a, b []byte) bool {
	switch {
	case isNull(a) || isNull(b):
		return isNull(a) && isNull(b)
	case !json.Valid(a) || !json.Valid(b):
		return bytes.Equal(a, b)
	}
	return equal(a, b)
}

// equal reports whether two valid JSON texts mean the same.
func equal(a, b []byte) bool {
	return bytes.Equal(a, b) || same(decode(a), decode(b))
}

// decode parses a text that is known to be valid.
func decode(text []byte) any {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	var v any
	if d.Decode(&v) != nil {
		return nil
	}
	return v
}

func same(a, b any) bool {
	switch a := a.(type) {
	case map[string]any:
		b, ok := b.(map[string]any)
		return ok && maps.EqualFunc(a, b, same)
	case []any:
		b, ok := b.([]any)
		return ok && slices.EqualFunc(a, b, same)
	case json.Number:
		b, ok := b.(json.Number)
		return ok && (a == b || canonical(string(a)) == canonical(string(b)))
	}
	switch b.(type) {
	case map[string]any, []any: // not comparable by ==
		return false
	}
	return a == b
}

// decimal is a number as sign, digits without zeros at either end, and the
// power of ten that the point before the first digit is shifted by.
type decimal struct {
	negative bool
	digits   string
	exponent int64
	odd      string // the text, when its exponent is beyond counting
}

// canonical returns the exact value of a JSON number, in time linear in its length.
func canonical(text string) decimal {
	var d decimal
	s, negative := strings.CutPrefix(text, "-")
	mantissa, power := s, int64(0)
	if i := strings.IndexAny(s, "eE"); i >= 0 {
		n, err := strconv.ParseInt(s[i+1:], 10, 32)
		if err != nil {
			return decimal{odd: text}
		}
		mantissa, power = s[:i], n
	}
	whole, fraction, _ := strings.Cut(mantissa, ".")
	digits := whole + fraction
	trimmed := strings.TrimLeft(digits, "0")
	if trimmed == "" {
		return d // zero has no sign
	}
	d.negative = negative
	d.exponent = power + int64(len(whole)) - int64(len(digits)-len(trimmed))
	d.digits = strings.TrimRight(trimmed, "0")
	return d
}
