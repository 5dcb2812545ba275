package lib

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/theseus-run/theseus/script/godsl/vm"
)

type machine = vm.Machine

// scan charges the work of going through n bytes.
func scan(m *machine, n int) {
	if n >= 64 {
		m.Work(n / 64)
	}
}

// maxSearch bounds the product of a text and a set of characters: the time
// that a search for one of them may take.
const maxSearch = 1 << 26

// set charges a search in s for one of chars.
func set(m *machine, s, chars string) {
	if int64(len(s))*int64(len(chars)) > maxSearch {
		m.Fail("strings: a text of %d bytes and a set of %d are too long for one search", len(s), len(chars))
	}
	m.Work(len(s) * (1 + len(chars)/8) / 64)
}

func trim(f func(string, string) string) any {
	return func(m *machine, s, chars string) string {
		set(m, s, chars)
		return f(s, chars)
	}
}

func part(f func(string, string) string) any {
	return func(m *machine, s, t string) string {
		scan(m, len(s)+len(t))
		return f(s, t)
	}
}

func question(f func(string, string) bool) any {
	return func(m *machine, s, t string) bool {
		scan(m, len(s)+len(t))
		return f(s, t)
	}
}

func position(f func(string, string) int) any {
	return func(m *machine, s, t string) int64 {
		scan(m, len(s)+len(t))
		return int64(f(s, t))
	}
}

func mapped(f func(string) string) any {
	return func(m *machine, s string) string {
		scan(m, len(s))
		m.Charge(int64(len(s)) + int64(len(s))/2)
		return f(s)
	}
}

func rune2bool(f func(rune) bool) any {
	return func(m *machine, r int64) bool { return f(rune(r)) }
}

func rune2rune(f func(rune) rune) any {
	return func(m *machine, r int64) int64 { return int64(f(rune(r))) }
}

func textNatives() map[string]any {
	return map[string]any{
		"strings.Contains":    question(strings.Contains),
		"strings.ContainsAny": func(m *machine, s, chars string) bool { set(m, s, chars); return strings.ContainsAny(s, chars) },
		"strings.HasPrefix":   question(strings.HasPrefix),
		"strings.HasSuffix":   question(strings.HasSuffix),
		"strings.EqualFold":   question(strings.EqualFold),
		"strings.Index":       position(strings.Index),
		"strings.IndexAny":    func(m *machine, s, chars string) int64 { set(m, s, chars); return int64(strings.IndexAny(s, chars)) },
		"strings.LastIndex":   position(strings.LastIndex),
		"strings.LastIndexAny": func(m *machine, s, chars string) int64 {
			set(m, s, chars)
			return int64(strings.LastIndexAny(s, chars))
		},
		"strings.Count":            position(strings.Count),
		"strings.ToUpper":          mapped(strings.ToUpper),
		"strings.ToLower":          mapped(strings.ToLower),
		"strings.TrimSpace":        func(m *machine, s string) string { return strings.TrimSpace(s) },
		"strings.Trim":             trim(strings.Trim),
		"strings.TrimLeft":         trim(strings.TrimLeft),
		"strings.TrimRight":        trim(strings.TrimRight),
		"strings.TrimPrefix":       part(strings.TrimPrefix),
		"strings.TrimSuffix":       part(strings.TrimSuffix),
		"strings.Repeat":           repeat,
		"strings.Replace":          replaceText,
		"strings.SplitN":           func(m *machine) { splitText(m, strings.SplitN) },
		"strings.SplitAfterN":      func(m *machine) { splitText(m, strings.SplitAfterN) },
		"strings.Fields":           fields,
		"strings.Join":             joinText,
		"strings.ToValidUTF8":      toValid,
		"strings.byteString":       func(m *machine, b int64) string { return oneByte[b&255 : b&255+1] },
		"unicode.IsLetter":         rune2bool(unicode.IsLetter),
		"unicode.IsDigit":          rune2bool(unicode.IsDigit),
		"unicode.IsNumber":         rune2bool(unicode.IsNumber),
		"unicode.IsSpace":          rune2bool(unicode.IsSpace),
		"unicode.IsUpper":          rune2bool(unicode.IsUpper),
		"unicode.IsLower":          rune2bool(unicode.IsLower),
		"unicode.IsPunct":          rune2bool(unicode.IsPunct),
		"unicode.IsControl":        rune2bool(unicode.IsControl),
		"unicode.IsPrint":          rune2bool(unicode.IsPrint),
		"unicode.IsGraphic":        rune2bool(unicode.IsGraphic),
		"unicode.IsSymbol":         rune2bool(unicode.IsSymbol),
		"unicode.IsMark":           rune2bool(unicode.IsMark),
		"unicode.IsTitle":          rune2bool(unicode.IsTitle),
		"unicode.ToUpper":          rune2rune(unicode.ToUpper),
		"unicode.ToLower":          rune2rune(unicode.ToLower),
		"unicode.ToTitle":          rune2rune(unicode.ToTitle),
		"unicode/utf8.ValidString": func(m *machine, s string) bool { scan(m, len(s)); return utf8.ValidString(s) },
		"unicode/utf8.DecodeRuneInString": func(m *machine) {
			r, n := utf8.DecodeRuneInString(m.Str(0))
			m.SetInt(0, int64(r))
			m.SetInt(1, int64(n))
		},
		"unicode/utf8.DecodeLastRuneInString": func(m *machine) {
			r, n := utf8.DecodeLastRuneInString(m.Str(0))
			m.SetInt(0, int64(r))
			m.SetInt(1, int64(n))
		},
	}
}

// oneByte has every byte once.
var oneByte = func() string {
	b := make([]byte, 256)
	for i := range b {
		b[i] = byte(i)
	}
	return string(b)
}()

func repeat(m *machine) {
	s, n := m.Str(1), m.Int(0)
	switch {
	case n < 0:
		m.Fail("strings: negative Repeat count")
	case len(s) == 0:
		m.SetStr(0, "")
		return
	case n > 1<<40/int64(len(s)):
		m.Charge(1 << 61)
	}
	m.Charge(n * int64(len(s)))
	m.SetStr(0, strings.Repeat(s, int(n)))
}

func replaceText(m *machine) {
	s, old, with, n := m.Str(1), m.Str(2), m.Str(3), m.Int(0)
	scan(m, len(s))
	count := int64(strings.Count(s, old))
	if n >= 0 {
		count = min(count, n)
	}
	m.Charge(int64(len(s)) + count*int64(len(with)))
	m.SetStr(0, strings.Replace(s, old, with, int(n)))
}

func splitText(m *machine, f func(string, string, int) []string) {
	s, sep, n := m.Str(0), m.Str(1), m.Int(0)
	scan(m, len(s))
	if n != 0 {
		parts := int64(strings.Count(s, sep)) + 1
		if n > 0 {
			parts = min(parts, n)
		}
		m.Work(int(parts) / 4)
		m.Charge(16 * parts)
	}
	list := f(s, sep, int(min(n, int64(len(s))+2)))
	if list == nil {
		m.SetView(0, vm.View{})
		return
	}
	m.SetView(0, m.FromStrings(list))
}

func fields(m *machine) {
	s := m.Str(0)
	scan(m, len(s))
	m.Charge(8 * int64(len(s)))
	m.SetView(0, m.FromStrings(strings.Fields(s)))
}

func joinText(m *machine) {
	list, sep := m.Strings(m.View(0)), m.Str(1)
	n := int64(len(sep)) * int64(len(list))
	for _, s := range list {
		n += int64(len(s))
	}
	m.Work(len(list) / 8)
	m.Charge(n)
	m.SetStr(0, strings.Join(list, sep))
}

func toValid(m *machine, s, with string) string {
	m.Charge(int64(len(s)) * int64(1+len(with)))
	return strings.ToValidUTF8(s, with)
}
