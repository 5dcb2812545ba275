package lib

import (
	"fmt"
	"strings"

	"github.com/theseus-run/theseus/script/godsl/vm"
)

func formatNatives() map[string]any {
	return map[string]any{
		"fmt.Sprintf": func(m *machine) {
			s, _ := sprintf(m, m.Str(1), m.Anys(m.View(0)))
			m.SetStr(0, s)
		},
		"fmt.errorf": func(m *machine) {
			s, wrapped := sprintf(m, m.Str(1), m.Anys(m.View(1)))
			m.SetStr(0, s)
			a := &vm.Array{N: make([]uint64, len(wrapped))}
			for i, n := range wrapped {
				a.N[i] = uint64(n)
			}
			m.SetView(0, vm.View{A: a, Len: int32(len(wrapped)), Cap: int32(len(wrapped))})
		},
		"fmt.Sprint":   func(m *machine) { m.SetStr(0, sprint(m, fmt.Sprint)) },
		"fmt.Sprintln": func(m *machine) { m.SetStr(0, sprint(m, fmt.Sprintln)) },
		"errors.comparable_": func(m *machine) {
			m.SetBool(0, m.Comparable(m.Ref(0)))
		},
	}
}

func sprint(m *machine, f func(...any) string) string {
	args := m.Anys(m.View(0))
	m.Charge(64 * int64(len(args)))
	list := make([]any, len(args))
	for i, a := range args {
		list[i] = m.Printable(a)
	}
	s := f(list...)
	m.Rethrow()
	m.Charge(int64(len(s)))
	return s
}

// sprintf formats. Verbs that package fmt would decide by a type of Go that
// the value does not have are rewritten; %w becomes %v and its arguments are
// returned.
func sprintf(m *machine, format string, args []any) (string, []int) {
	m.Charge(int64(len(format)) + 64*int64(len(args)))
	m.Work(1 + len(format)/32)
	list := make([]any, len(args))
	for i, a := range args {
		list[i] = m.Printable(a)
	}
	var wrapped []int
	var b strings.Builder
	arg := 0
	for i := 0; i < len(format); i++ {
		c := format[i]
		b.WriteByte(c)
		if c != '%' {
			continue
		}
		width := int64(0)
		for i++; i < len(format); i++ {
			c = format[i]
			switch {
			case c >= '0' && c <= '9':
				width = min(width*10+int64(c-'0'), 1<<30)
			case c == '.' || c == '+' || c == '-' || c == '#' || c == ' ':
				m.Charge(width)
				width = 0
			case c == '*':
				if arg < len(args) {
					if n, ok := args[arg].(int); ok {
						m.Charge(int64(max(n, -n)))
					}
				}
				arg++
			case c == '[':
				n := 0
				for i++; i < len(format) && format[i] >= '0' && format[i] <= '9'; i++ {
					b.WriteByte(format[i-1])
					n = min(n*10+int(format[i]-'0'), 1<<20)
				}
				if i >= len(format) {
					i--
				}
				b.WriteByte(format[i-1])
				c = format[i]
				arg = n - 1
			default:
				goto verb
			}
			b.WriteByte(c)
		}
	verb:
		m.Charge(width)
		if i >= len(format) {
			break
		}
		switch c {
		case '%':
		case 'T':
			if arg >= 0 && arg < len(args) {
				list[arg] = typeName(m.TypeName(args[arg]))
				c = 's'
			}
			arg++
		case 'w':
			wrapped = append(wrapped, arg)
			arg++
			c = 'v'
		default:
			arg++
		}
		b.WriteByte(c)
	}
	s := fmt.Sprintf(b.String(), list...)
	m.Rethrow()
	m.Charge(int64(len(s)))
	return s, wrapped
}

// typeName prints as itself.
type typeName string
