package lib

import (
	"regexp"
	"regexp/syntax"
	"unicode/utf8"

	"github.com/theseus-run/theseus/script/godsl/vm"
)

// maxPattern bounds a regular expression. Its compiled form may be a thousand
// times as large, which is what a repetition allows.
const maxPattern = 4096

func regexpNatives() map[string]any {
	return map[string]any{
		"regexp.QuoteMeta": func(m *machine, s string) string { m.Charge(2 * int64(len(s))); return regexp.QuoteMeta(s) },
		"regexp.compile": func(m *machine) {
			expr := m.Str(1)
			if len(expr) > maxPattern {
				m.Fail("regexp: a pattern may have %d bytes", maxPattern)
			}
			m.Charge(int64(len(expr))*1024 + 4096)
			m.Work(100 + len(expr)*20)
			re, err := regexp.Compile(expr)
			m.SetRef(0, nil)
			m.SetStr(0, "")
			if err != nil {
				m.SetStr(0, err.Error())
				return
			}
			m.SetRef(0, re)
		},
		"regexp.matchString": func(m *machine) {
			re := pattern(m, 0)
			match(m, re, m.Str(0))
			m.SetBool(0, re.MatchString(m.Str(0)))
		},
		"regexp.find": func(m *machine) {
			re, s := pattern(m, 0), m.Str(0)
			all := matches(m, re, s, m.Int(0))
			list := make([]vm.View, len(all))
			for i, one := range all {
				a := &vm.Array{N: make([]uint64, len(one))}
				for j, at := range one {
					a.N[j] = uint64(int64(at))
				}
				list[i] = vm.View{A: a, Len: int32(len(one)), Cap: int32(len(one))}
			}
			m.SetView(0, vm.View{A: &vm.Array{L: list}, Len: int32(len(list)), Cap: int32(len(list))})
		},
		"regexp.replace": replacePattern,
		"regexp.split":   splitPattern,
		"regexp.names": func(m *machine) {
			m.SetView(0, m.FromStrings(append([]string(nil), pattern(m, 0).SubexpNames()...)))
		},
	}
}

func pattern(m *machine, k int) *regexp.Regexp {
	re, ok := m.Ref(k).(*regexp.Regexp)
	if !ok {
		m.Fail("invalid memory address or nil pointer dereference")
	}
	return re
}

// match charges one pass over s: time is the text times the pattern.
func match(m *machine, re *regexp.Regexp, s string) {
	m.Work(1 + len(s)*max(8, len(re.String()))/64)
}

// maxContext bounds the text for patterns that look around, such as \b: all
// their matches are found at once, which no limit can stop.
const maxContext = 16 << 10

// looksAround reports whether a match depends on what is before it.
func looksAround(re *regexp.Regexp) bool {
	tree, err := syntax.Parse(re.String(), syntax.Perl)
	if err != nil {
		return true
	}
	prog, err := syntax.Compile(tree.Simplify())
	if err != nil {
		return true
	}
	for _, in := range prog.Inst {
		if in.Op == syntax.InstEmptyWidth {
			return true
		}
	}
	return false
}

// matches is FindAllStringSubmatchIndex, charged and stopped between two
// matches: each may go through the rest of the text.
func matches(m *machine, re *regexp.Regexp, s string, n int64) [][]int {
	if n < 0 {
		n = int64(len(s)) + 1
	}
	size := int64(2*(re.NumSubexp()+1))*16 + 128
	if looksAround(re) {
		if len(s) > maxContext && n > 1 {
			m.Fail("regexp: a text of more than %d bytes cannot be searched for all matches of a pattern that looks around", maxContext)
		}
		m.Work(len(s) * max(8, len(re.String())) / 64)
		all := re.FindAllStringSubmatchIndex(s, int(n))
		m.Charge(size * int64(len(all)))
		return all
	}
	var all [][]int
	last := -1
	for pos := 0; int64(len(all)) < n && pos <= len(s); {
		match(m, re, s[pos:])
		one := re.FindStringSubmatchIndex(s[pos:])
		if one == nil {
			break
		}
		for i := range one {
			if one[i] >= 0 {
				one[i] += pos
			}
		}
		begin, end := one[0], one[1]
		accept := end != pos || begin != last
		if end == pos {
			_, width := utf8.DecodeRuneInString(s[pos:])
			pos += max(1, width)
		} else {
			pos = end
		}
		last = end
		if accept {
			m.Charge(size)
			all = append(all, one)
		}
	}
	return all
}

func replacePattern(m *machine) {
	re, s, with := pattern(m, 0), m.Str(1), m.Str(2)
	var out []byte
	last := 0
	for _, one := range matches(m, re, s, -1) {
		m.Charge(2 * int64(one[0]-last+len(with)))
		out = append(out, s[last:one[0]]...)
		if m.Bool(0) {
			out = append(out, with...)
		} else {
			m.Charge(2 * int64(one[1]-one[0]) * int64(1+len(with)/2))
			out = re.ExpandString(out, with, s, one)
		}
		last = one[1]
	}
	m.Charge(2 * int64(len(s)-last))
	m.SetStr(0, string(append(out, s[last:]...)))
}

// splitPattern is Regexp.Split.
func splitPattern(m *machine) {
	re, s, n := pattern(m, 0), m.Str(0), m.Int(0)
	if n == 0 {
		m.SetView(0, vm.View{})
		return
	}
	if len(re.String()) > 0 && len(s) == 0 {
		m.SetView(0, m.FromStrings([]string{""}))
		return
	}
	var list []string
	begin, end := 0, 0
	for _, one := range matches(m, re, s, n) {
		if n > 0 && int64(len(list)) == n-1 {
			break
		}
		end = one[0]
		if one[1] != 0 {
			list = append(list, s[begin:end])
		}
		begin = one[1]
	}
	if end != len(s) {
		list = append(list, s[begin:])
	}
	m.SetView(0, m.FromStrings(list))
}
