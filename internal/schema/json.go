package schema

import (
	"bytes"
	"encoding/json"
	"errors"
	"strconv"
	"strings"

	"github.com/theseus-run/theseus/script"
)

// indent writes JSON with two spaces a level and a line break at the end.
func indent(buf *bytes.Buffer, text []byte) error {
	if err := json.Indent(buf, text, "", "  "); err != nil {
		return err
	}
	return buf.WriteByte('\n')
}

// depth returns how deep the brackets of JSON text nest, strings left out.
func depth(src []byte) (deepest int) {
	open, quoted := 0, false
	for i := 0; i < len(src); i++ {
		switch c := src[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '{', c == '[':
			open++
			deepest = max(deepest, open)
		case c == '}', c == ']':
			open--
		}
	}
	return deepest
}

// jsonError points at the place of a JSON syntax error.
func jsonError(name string, src []byte, err error) *script.Error {
	e := &script.Error{Kind: script.Syntax, File: name, Message: "this is not JSON: " + err.Error(), Hint: "a schema is one JSON object"}
	se, ok := errors.AsType[*json.SyntaxError](err)
	if !ok {
		return e
	}
	at := max(0, min(int(se.Offset)-1, len(src)))
	e.Line = bytes.Count(src[:at], []byte("\n")) + 1
	e.Column = at - bytes.LastIndexByte(src[:at], '\n')
	return e.WithFrame(src)
}

// resolve follows a JSON pointer, and the local references on its way, in raw.
func resolve(raw any, pointer string) map[string]any {
	for range 32 {
		node := raw
		for _, tok := range strings.Split(strings.TrimPrefix(pointer, "/"), "/") {
			if tok == "" && pointer == "" {
				break
			}
			tok = strings.NewReplacer("~1", "/", "~0", "~").Replace(tok)
			switch n := node.(type) {
			case map[string]any:
				node = n[tok]
			case []any:
				i, err := strconv.Atoi(tok)
				if err != nil || i < 0 || i >= len(n) {
					return nil
				}
				node = n[i]
			default:
				return nil
			}
		}
		obj, _ := node.(map[string]any)
		ref, ok := obj["$ref"].(string)
		if !ok || len(obj) > 1 || !strings.HasPrefix(ref, "#/") {
			return obj
		}
		pointer = ref[1:]
	}
	return nil
}
