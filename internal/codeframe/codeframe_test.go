package codeframe

import (
	"strings"
	"testing"
	"unicode/utf8"
)

func TestRender(t *testing.T) {
	const src = "one\ntwo\nthree\nfour\nfive\nsix\n"
	tests := []struct {
		name         string
		src          string
		line, column int
		note, want   string
	}{
		{"middle", src, 3, 2, "expected", "  1 | one\n  2 | two\n> 3 | three\n    |  ^ expected\n  4 | four\n  5 | five\n"},
		{"first", src, 1, 1, "", "> 1 | one\n    | ^\n  2 | two\n  3 | three\n"},
		{"trailing blank lines are left out", "a\nb\n\n\n", 2, 1, "", "  1 | a\n> 2 | b\n    | ^\n"},
		{"no column", src, 6, 0, "", "  4 | four\n  5 | five\n> 6 | six\n"},
		{"behind the end", "ab", 1, 3, "", "> 1 | ab\n    |   ^\n"},
		{"column counts bytes", "éé x", 1, 6, "", "> 1 | éé x\n    |    ^\n"},
		{"tab", "\tx", 1, 2, "", "> 1 |   x\n    |   ^\n"},
		{"CRLF", "a\r\nb\r\n", 1, 1, "", "> 1 | a\n    | ^\n  2 | b\n"},
		{"control characters", "a\x1b[31m\x7f\u0085\xff", 1, 1, "", "> 1 | a·[31m···\n    | ^\n"},
		{"line zero", src, 0, 1, "", ""}, {"line outside", src, 9, 1, "", ""}, {"negative", src, -1, -1, "", ""}, {"empty", "", 1, 1, "", "> 1 | \n    | ^\n"},
		{"number width", strings.Repeat("x\n", 10), 9, 1, "", "   7 | x\n   8 | x\n>  9 | x\n     | ^\n  10 | x\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := Render([]byte(tt.src), tt.line, tt.column, tt.note); got != tt.want {
				t.Errorf("got\n%s\nwant\n%s", got, tt.want)
			}
		})
	}
}

// The marked column stays in view in a line of any length.
func TestRenderLongLine(t *testing.T) {
	src := strings.Repeat("a", 5000) + "X" + strings.Repeat("b", 5000)
	got := Render([]byte(src), 1, 5001, "")
	lines := strings.Split(got, "\n")
	caret := strings.IndexByte(lines[1], '^')
	text := []rune(lines[0])
	if len(text) > maxWidth+10 || caret < 0 || text[caret] != 'X' {
		t.Errorf("caret at %d of\n%s", caret, got)
	}
}

func FuzzRender(f *testing.F) {
	f.Add([]byte("a\nb\x1b\xff\té"), 2, 3)
	f.Add([]byte(strings.Repeat("é", 400)), 1, 301)
	f.Fuzz(func(t *testing.T, src []byte, line, column int) {
		got := Render(src, line, column, "note")
		if !utf8.ValidString(got) {
			t.Errorf("not UTF-8: %q", got)
		}
		if len(got) > 5*(maxWidth*utf8.UTFMax+100) {
			t.Errorf("%d bytes", len(got))
		}
		for _, r := range got {
			if r < ' ' && r != '\n' || r == 0x7f {
				t.Errorf("control character %q in %q", r, got)
			}
		}
	})
}
