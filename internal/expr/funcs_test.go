package expr

import (
	"encoding/json"
	"fmt"
	"math"
	"testing"

	"github.com/theseus-run/theseus/script"
)

// Every function says what it wants when it gets something else, and takes nil
// where that has a meaning.
func TestFunctions(t *testing.T) {
	type pair struct {
		A int `json:"a"`
	}
	vars := map[string]any{
		"list": []any{1, "b"}, "obj": map[string]any{"k": 1}, "n": 1.5, "text": "x",
		"ints": []int{3, 4}, "pair": &pair{7}, "big": json.Number("12345678901234567890"), "small": json.Number("5"),
		"u": uint64(math.MaxUint64), "f32": float32(0.5), "i8": int8(3), "value": script.JSON([]byte(`{"a":[1]}`)), "nan": math.NaN(),
	}
	for src, want := range map[string]string{
		`length(n)`:                           "length: number 1.5 has no length",
		`length(ints)`:                        "2",
		`upper(list)`:                         "upper: expected a text, got list",
		`first(n)`:                            "first: expected a list, got number 1.5",
		`first(ints)`:                         "3",
		`first(nil)`:                          "<nil>",
		`keys(list)`:                          "keys: expected an object, got list",
		`keys(pair)`:                          "[a]",
		`keys(nil)`:                           "[]",
		`values(text)`:                        `values: expected an object, got string "x"`,
		`join(list, 1)`:                       "join: the separator is a text, got number 1",
		`join(text)`:                          `join: expected a list, got string "x"`,
		`join([1, nil, true])`:                "1,,true",
		`split(1, ",")`:                       `split: expected two texts, got number 1 and string ","`,
		`split(nil, ",")`:                     "[]",
		`replace(text, 1, "")`:                "replace: expected three texts, got number 1",
		`replace(nil, "", "")`:                "<nil>",
		`replace("ab", "", "-")`:              "-a-b-",
		`round(text)`:                         `round: expected a number, got string "x"`,
		`round(n, 0.5)`:                       "round: the digits are a whole number from 0 to 15, got number 0.5",
		`round(1e300, 15)`:                    "1e+300",
		`floor(nil)`:                          "floor: expected a number, got nil",
		`min(list)`:                           `min: can't compare string "b" < number 1`,
		`min()`:                               "min takes at least 1 argument, got 0",
		`max([])`:                             "<nil>",
		`max(obj)`:                            "max: expected a list, got object",
		`max("a", "b")`:                       "b",
		`sum(list)`:                           `sum: can't compute number 1 + string "b"`,
		`sum(n)`:                              "sum: expected a list, got number 1.5",
		`number(text)`:                        `number: string "x" is not a number`,
		`number("1e999")`:                     `number: string "1e999" is not a number`,
		`number(" 2.5 ")`:                     "2.5",
		`number(true) + number(false)`:        "1",
		`number(nil)`:                         "<nil>",
		`number(list)`:                        "number: expected a number or a text, got list",
		`int(1e30)`:                           "int: the number is too large",
		`int(text)`:                           `int: string "x" is not a number`,
		`int(-2.7)`:                           "-2",
		`string(obj)`:                         `{"k":1}`,
		`string(n)`:                           "1.5",
		`json(nan)`:                           "json: the value has no JSON form",
		`contains(obj, 1)`:                    "contains: the keys of an object are texts, got number 1",
		`contains(text, 1)`:                   "contains: a text contains texts, got number 1",
		`contains(ints, 4)`:                   "true",
		`contains(nil, 4)`:                    "false",
		`startsWith(n, "x")`:                  `startsWith: expected two texts, got number 1.5 and string "x"`,
		`nil startsWith "x"`:                  "false",
		`nil matches "x"`:                     "false",
		`n matches "x"`:                       "matches takes a text, got number",
		`obj[1]`:                              "a field is named by a text, got number",
		`ints[1] + pair.a`:                    "11",
		`n[1]`:                                "number has no elements",
		`value.a[0]`:                          "1",
		`value == {a: [1]}`:                   "true",
		`ints == [3, 4]`:                      "true",
		`small + 1`:                           "6",
		`big > 1`:                             "true",
		`u > 1 and f32 < 1`:                   "true",
		`i8 == 3`:                             "true",
		`nan < 1 or nan > 1`:                  "false",
		`0 * -1 - 9223372036854775807 - 2`:    "-9.223372036854776e+18",
		`9223372036854775807 * 2`:             "1.8446744073709552e+19",
		`7 % -1`:                              "0",
		`7.5 % 2`:                             "1.5",
		`1 % 0`:                               "division by zero",
		`10 ** 400`:                           "the result is not a number",
		`-text`:                               `can't compute number 0 - string "x"`,
		`{(n): 1, 2: 3}`:                      "map[1.5:1 2:3]",
		`type(pair) + type(nil) + type(true)`: "objectnilbool",
	} {
		var got string
		p, err := Compile(src, Options{})
		if err == nil {
			var v any
			v, err = p.Eval(vars)
			got = fmt.Sprint(v)
		}
		if e, ok := err.(*script.Error); ok {
			got = e.Message
		}
		if got != want {
			t.Errorf("%s = %s, want %s", src, got, want)
		}
	}
}
