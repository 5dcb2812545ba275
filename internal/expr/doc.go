// Package expr is the expression language of an app: conditions, templates in
// workflows and the rules of routes.
//
// Start with [Compile] for one expression, [ParseTemplate] for text with
// ${{ … }} in it, or [CompileTree] for templates anywhere in nested lists and
// maps. What they return is immutable and safe for concurrent use. Errors are
// *[script.Error]: kind Syntax from the compiling functions, Failed from the
// evaluating ones, with Line and Column (1-based, in bytes) inside the text
// that was compiled.
//
// # Grammar
//
//	expression  operand, joined by operators; cond ? a : b
//	operand     literal | name | .name | function(…) | (expression) | list | map
//	literal     12  1.5e3  "text"  'text'  true  false  nil  null
//	list        [a, b]           map    {key: a, "other key": b}
//	access      a.b  a?.b  a["b"]  a[0]  a[-1]
//	filter      a | name   a | name(arguments)
//
//	loosest     ? :
//	            or ||
//	            and &&
//	            == != < <= > >= in contains startsWith endsWith matches (also after not)
//	            + -
//	            * / %
//	            **
//	            not ! -
//	            ??  (does not mix with other operators without parentheses)
//	tightest    filters, access
//
// A leading dot names a variable like the bare name does: .payload.items is
// payload.items. A filter binds as tightly as an access and is the function of
// that name with the value as its first argument, so .items | length > 10 asks
// whether there are more than ten.
//
// # Values
//
// Nothing that is missing is an error: an unknown field, an index outside a
// list and any access to nil are nil. Conditions take nil as false and refuse
// whatever else is not true or false. Ordering and arithmetic with nil is an
// error. Numbers compare by value, whichever their Go type; lists and maps
// compare by content. + also joins two texts; matches takes a literal regular
// expression (RE2).
//
// # Functions
//
// length (len), upper, lower, trim, first, last, keys, values, default(x, d),
// join(list, sep = ","), split(text, sep), contains(x, y), startsWith, endsWith,
// replace(text, old, new), round(x, digits = 0), floor, ceil, abs, min, max,
// sum, string, number, int, json, type. A caller adds its own by [Options].
//
// # Bounds
//
// There are no loops and no bindings, so an evaluation takes time linear in the
// expression and its data. A source has at most 4 KiB, 32 nested brackets and
// 1000 tokens; the texts that one evaluation makes have at most 8 MiB in all.
package expr
