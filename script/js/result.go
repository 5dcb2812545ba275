package js

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/theseus-run/theseus/script"
)

// result turns the prelude's answer into a Value or an error, and decides
// whether the machine may go on. The answer is a letter and a text: s and a
// string, j and JSON, u for null, r and a response, n and a next(), p for a
// promise that is pending still, o and the length of an answer above the
// limit, x and an error.
func (m *machine) result(ctx context.Context, deadline time.Time, text string) (script.Value, error) {
	u := m.unit
	if text == "" {
		return script.Value{}, &script.Error{Kind: script.Failed, File: u.Name(), Message: "the JavaScript engine gave no answer"}
	}
	kind, text := text[0], text[1:]
	if kind == 'x' {
		err := u.thrown(ctx, deadline, text, &m.run)
		k := script.KindOf(err)
		m.sound = k != script.Timeout && k != script.Memory && k != script.Depth
		return script.Value{}, err
	}
	if kind == 'p' {
		return script.Value{}, &script.Error{Kind: script.Failed, File: u.Name(), Message: "the promise that was returned never settles",
			Hint: "nothing runs behind a call: await only what resolves by itself, such as other async functions"}
	}
	m.sound = true
	if int64(len(text)) > u.limits.Output || kind == 'o' {
		length := strconv.Itoa(len(text))
		if kind == 'o' {
			length = "at least " + text
		}
		return script.Value{}, &script.Error{Kind: script.Output, File: u.Name(),
			Message: fmt.Sprintf("the result has %s bytes, more than the limit of %d", length, u.limits.Output),
			Hint:    "return less, or raise limits.output"}
	}
	switch kind {
	case 's':
		return script.Of(text), nil
	case 'u':
		return script.Value{}, nil
	case 'j':
		if strings.HasPrefix(text, `{"`+script.Tag+`"`) {
			return script.Value{}, &script.Error{Kind: script.Failed, File: u.Name(),
				Message: fmt.Sprintf("the result begins with the reserved member %q", script.Tag),
				Hint:    "rename the member; responses are made with new Response(…) and next(…)"}
		}
		return script.JSON([]byte(text)), nil
	case 'r', 'n':
		return script.JSON([]byte(text)), nil
	}
	return script.Value{}, &script.Error{Kind: script.Failed, File: u.Name(), Message: "the JavaScript engine gave an unknown answer"}
}
