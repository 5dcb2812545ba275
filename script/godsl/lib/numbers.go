package lib

import (
	"errors"
	"math"
	"strconv"
)

func float1(f func(float64) float64) any {
	return func(m *machine, x float64) float64 { return f(x) }
}

func float2(f func(x, y float64) float64) any {
	return func(m *machine, x, y float64) float64 { return f(x, y) }
}

func numberNatives() map[string]any {
	return map[string]any{
		"math.Abs": float1(math.Abs), "math.Ceil": float1(math.Ceil), "math.Floor": float1(math.Floor),
		"math.Round": float1(math.Round), "math.RoundToEven": float1(math.RoundToEven), "math.Trunc": float1(math.Trunc),
		"math.Sqrt": float1(math.Sqrt), "math.Cbrt": float1(math.Cbrt), "math.Exp": float1(math.Exp), "math.Exp2": float1(math.Exp2),
		"math.Log": float1(math.Log), "math.Log2": float1(math.Log2), "math.Log10": float1(math.Log10), "math.Log1p": float1(math.Log1p),
		"math.Sin": float1(math.Sin), "math.Cos": float1(math.Cos), "math.Tan": float1(math.Tan),
		"math.Asin": float1(math.Asin), "math.Acos": float1(math.Acos), "math.Atan": float1(math.Atan),
		"math.Sinh": float1(math.Sinh), "math.Cosh": float1(math.Cosh), "math.Tanh": float1(math.Tanh),
		"math.Atan2": float2(math.Atan2), "math.Pow": float2(math.Pow), "math.Mod": float2(math.Mod), "math.Hypot": float2(math.Hypot),
		"math.Max": float2(math.Max), "math.Min": float2(math.Min), "math.Dim": float2(math.Dim),
		"math.Copysign": float2(math.Copysign), "math.Remainder": float2(math.Remainder),
		"math.IsNaN":           func(m *machine, x float64) bool { return math.IsNaN(x) },
		"math.Signbit":         func(m *machine, x float64) bool { return math.Signbit(x) },
		"math.Float64bits":     func(m *machine) { m.SetInt(0, m.Int(1)) },
		"math.Float64frombits": func(m *machine) { m.SetInt(0, m.Int(1)) },
		"math.Float32bits":     func(m *machine) { m.SetInt(0, int64(math.Float32bits(float32(m.Float(1))))) },
		"math.Float32frombits": func(m *machine) { m.SetFloat(0, float64(math.Float32frombits(uint32(m.Int(1))))) },

		"strconv.Itoa": func(m *machine, n int64) string {
			if uint64(n) >= 100 {
				m.Charge(24)
			}
			return strconv.FormatInt(n, 10)
		},
		"strconv.FormatInt": func(m *machine) {
			m.Charge(72)
			m.SetStr(0, strconv.FormatInt(m.Int(0), base(m, m.Int(1))))
		},
		"strconv.FormatUint": func(m *machine) {
			m.Charge(72)
			m.SetStr(0, strconv.FormatUint(uint64(m.Int(0)), base(m, m.Int(1))))
		},
		"strconv.FormatFloat": formatFloat,
		"strconv.Quote":       func(m *machine, s string) string { m.Charge(10 * int64(len(s))); return strconv.Quote(s) },
		"strconv.parseInt": func(m *machine) {
			n, err := strconv.ParseInt(m.Str(1), int(m.Int(2)), int(m.Int(3)))
			m.SetInt(0, n)
			setParse(m, 1, 0, err)
		},
		"strconv.parseUint": func(m *machine) {
			n, err := strconv.ParseUint(m.Str(1), int(m.Int(2)), int(m.Int(3)))
			m.SetInt(0, int64(n))
			setParse(m, 1, 0, err)
		},
		"strconv.parseFloat": func(m *machine) {
			scan(m, len(m.Str(0)))
			f, err := strconv.ParseFloat(m.Str(0), int(m.Int(2)))
			m.SetFloat(0, f)
			setParse(m, 1, -1, err)
		},
		"strconv.unquote": func(m *machine) {
			s, err := strconv.Unquote(m.Str(1))
			m.Charge(int64(len(s)))
			m.SetStr(0, s)
			m.SetBool(0, err == nil)
		},
	}
}

func base(m *machine, b int64) int {
	if b < 2 || b > 36 {
		m.Fail("strconv: illegal AppendInt/FormatInt base")
	}
	return int(b)
}

// setParse stores what went wrong: 0 nothing, 1 syntax, 2 range, 3 something
// that the text at detail says.
func setParse(m *machine, code, detail int, err error) {
	text := ""
	n := int64(0)
	switch {
	case err == nil:
	case errors.Is(err, strconv.ErrSyntax):
		n = 1
	case errors.Is(err, strconv.ErrRange):
		n = 2
	default:
		n = 3
		if e, ok := errors.AsType[*strconv.NumError](err); ok {
			text = e.Err.Error()
		}
	}
	m.SetInt(code, n)
	if detail >= 0 {
		m.SetStr(detail, text)
	}
}

func formatFloat(m *machine) {
	f, verb, prec, bits := m.Float(0), m.Int(1), m.Int(2), m.Int(3)
	if bits != 32 && bits != 64 {
		m.Fail("strconv: illegal AppendFloat/FormatFloat bitSize")
	}
	m.Charge(340 + max(0, prec))
	m.SetStr(0, strconv.FormatFloat(f, byte(verb), int(prec), int(bits)))
}
