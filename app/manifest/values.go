package manifest

import (
	"errors"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/invopop/jsonschema"
)

func itoa(i int) string { return strconv.Itoa(i) }

// orReference lets editors accept "${NAME}" where text of a certain form is
// wanted. When the manifest is read, references have been replaced.
const orReference = `|\$\{[^{]`

// A Duration is a length of time as in "500ms", "5s" or "1m30s". In a manifest
// it is always positive; zero means that the file does not say.
type Duration time.Duration

// Std returns d as a time.Duration.
func (d Duration) Std() time.Duration { return time.Duration(d) }

// String returns d the way it is written in a manifest.
func (d Duration) String() string {
	s := time.Duration(d).String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// MarshalText implements encoding.TextMarshaler.
func (d Duration) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (d *Duration) UnmarshalText(text []byte) error {
	v, err := time.ParseDuration(string(text))
	if err != nil {
		return errors.New("want a duration such as 500ms, 5s or 1m30s")
	}
	if v <= 0 {
		return errors.New("want a duration longer than 0")
	}
	*d = Duration(v)
	return nil
}

// JSONSchema describes the text form.
func (Duration) JSONSchema() *jsonschema.Schema {
	return &jsonschema.Schema{Type: "string", Title: "duration", Pattern: `^([0-9]+(\.[0-9]+)?(ns|us|µs|ms|s|m|h))+$` + orReference,
		Description: "A duration such as 500ms, 5s or 1m30s.", Examples: []any{"500ms", "5s", "1m30s"}}
}

// A Size is a number of bytes as in "64MiB", "1MB" or "512": the units are B,
// kB, MB, GB (1000) and KiB, MiB, GiB (1024). In a manifest it is always
// positive; zero means that the file does not say.
type Size int64

// Bytes returns s as a number of bytes.
func (s Size) Bytes() int64 { return int64(s) }

// sizeUnits from the largest, so that String finds the shortest form.
var sizeUnits = []struct {
	name  string
	bytes int64
}{{"GiB", 1 << 30}, {"GB", 1e9}, {"MiB", 1 << 20}, {"MB", 1e6}, {"KiB", 1 << 10}, {"kB", 1e3}, {"B", 1}}

// String returns s with the largest unit that divides it.
func (s Size) String() string {
	for _, u := range sizeUnits {
		if s != 0 && int64(s)%u.bytes == 0 {
			return strconv.FormatInt(int64(s)/u.bytes, 10) + u.name
		}
	}
	return "0B"
}

// MarshalText implements encoding.TextMarshaler.
func (s Size) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler. Upper and lower case are
// the same; a fraction such as "1.5MiB" is rounded down to whole bytes.
func (s *Size) UnmarshalText(text []byte) error {
	number, unit := string(text), int64(1)
	for _, u := range sizeUnits {
		if head, ok := cutSuffixFold(number, u.name); ok {
			number, unit = strings.TrimSpace(head), u.bytes
			break
		}
	}
	v, err := strconv.ParseFloat(number, 64)
	if err != nil || strings.ContainsAny(number, "eExXpP_") || v < 0 || math.IsInf(v, 0) || math.IsNaN(v) {
		return errors.New("want a size such as 512KiB, 64MiB or 1GB")
	}
	if v *= float64(unit); v < 1 {
		return errors.New("want a size of at least 1 byte")
	} else if v >= 1<<62 {
		return errors.New("want a smaller size")
	}
	*s = Size(v)
	return nil
}

// JSONSchema describes the text form.
func (Size) JSONSchema() *jsonschema.Schema {
	examples := []any{"512KiB", "64MiB", "1GB"}
	return &jsonschema.Schema{Description: "A number of bytes such as 512KiB, 64MiB or 1GB.", Examples: examples, AnyOf: []*jsonschema.Schema{
		{Type: "string", Title: "size", Pattern: `^[0-9]+(\.[0-9]+)? ?([kKmMgG][iI]?)?[bB]$|^[0-9]+$` + orReference, Examples: examples},
		{Type: "integer", Minimum: "1"}}}
}

// A Percent is a share as in "10%" or "0.5%"; 100 is all.
type Percent float64

// String returns p with its sign.
func (p Percent) String() string { return strconv.FormatFloat(float64(p), 'f', -1, 64) + "%" }

// MarshalText implements encoding.TextMarshaler.
func (p Percent) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (p *Percent) UnmarshalText(text []byte) error {
	number, ok := strings.CutSuffix(string(text), "%")
	v, err := strconv.ParseFloat(strings.TrimSpace(number), 64)
	if !ok || err != nil || !(v >= 0 && v <= 100) || strings.ContainsAny(number, "xXpP_") {
		return errors.New("want a percentage from 0% to 100%")
	}
	*p = Percent(v)
	return nil
}

// JSONSchema describes the text form.
func (Percent) JSONSchema() *jsonschema.Schema {
	return &jsonschema.Schema{Type: "string", Title: "percentage", Pattern: `^[0-9]+(\.[0-9]+)?%$`,
		Description: "A share such as 10%.", Examples: []any{"10%"}}
}

func cutSuffixFold(s, suffix string) (string, bool) {
	if i := len(s) - len(suffix); i >= 0 && strings.EqualFold(s[i:], suffix) {
		return s[:i], true
	}
	return s, false
}
