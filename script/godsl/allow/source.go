package allow

import (
	"fmt"
	"go/scanner"
	"go/token"
	"strings"
)

// maxRun bounds how many tokens may follow each other without a name, literal
// or keyword between them: each may be a level of the parser's recursion.
const maxRun = 100

// Source checks the size and the nesting of a file's text before it is
// parsed. It returns the offset of what is refused. Text that is not Go passes:
// the parser has the better message.
func Source(text []byte) (offset int, err error) {
	if len(text) > MaxSource {
		return 0, &Refusal{Message: fmt.Sprintf("a source file may have %d bytes, this one has %d", MaxSource, len(text)),
			Hint: "split the file, or move data out of it"}
	}
	var s scanner.Scanner
	fset := token.NewFileSet()
	file := fset.AddFile("", fset.Base(), len(text))
	s.Init(file, text, func(token.Position, string) {}, scanner.ScanComments)
	depth, run := 0, 0
	for {
		pos, tok, lit := s.Scan()
		switch tok {
		case token.COMMENT:
			if strings.HasPrefix(lit, "//go:") && !strings.HasPrefix(lit, "//go:build ") {
				return file.Offset(pos), &Refusal{Message: "compiler directives are not part of the language", Hint: "remove the comment, or begin it with a space"}
			}
		case token.EOF:
			return 0, nil
		case token.LPAREN, token.LBRACK, token.LBRACE:
			depth++
			run++
		case token.RPAREN, token.RBRACK, token.RBRACE:
			depth--
			run++
		case token.FUNC, token.MAP, token.CHAN, token.STRUCT, token.INTERFACE:
			run++
		default:
			if tok.IsOperator() && tok != token.COMMA && tok != token.SEMICOLON {
				run++
			} else {
				run = 0
			}
		}
		if depth > MaxNesting || run > maxRun {
			return file.Offset(pos), &Refusal{Message: fmt.Sprintf("the source nests deeper than %d levels", MaxNesting),
				Hint: "split the expression or the function"}
		}
	}
}
