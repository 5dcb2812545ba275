package expr

import (
	"encoding/json"
	"errors"
	"math"
	"strconv"

	"github.com/theseus-run/theseus/script"
)

// text is v as a template shows it: a text as it is, nil as nothing, a number
// without needless digits, a list or an object as JSON.
func (s *state) text(v any) (string, error) {
	var out string
	switch x := v.(type) {
	case nil:
		return "", nil
	case string:
		out = x
	case bool:
		out = strconv.FormatBool(x)
	default:
		var err error
		if out, err = s.number(v); err != nil {
			return "", err
		}
	}
	return out, s.charge(len(out))
}

// Text is v as a template shows it.
func Text(v any) (string, error) { return new(state).text(v) }

func (s *state) number(v any) (string, error) {
	if i, ok := toExact(v); ok {
		return strconv.FormatInt(i, 10), nil
	}
	if f, ok := toFloat(v); ok {
		return formatFloat(f), nil
	}
	return s.json(v)
}

// json is v as JSON, without ever making a text beyond the budget.
func (s *state) json(v any) (string, error) {
	if !Fits(v, maxText-int64(s.bytes)) {
		return "", s.charge(maxText + 1)
	}
	text, err := script.Of(v).Text()
	if err != nil {
		var bad *json.UnsupportedValueError
		if errors.As(err, &bad) {
			return "", errors.New("the value has no JSON form")
		}
		return "", err
	}
	return string(text), nil
}

func formatFloat(f float64) string {
	if math.Abs(f) < 1e21 {
		return strconv.FormatFloat(f, 'f', -1, 64)
	}
	return strconv.FormatFloat(f, 'g', -1, 64)
}
