package wire

import "fmt"

// A kind is the number of a message in the frame header.
type kind uint8

// The numbers are part of the protocol: never change or reuse one.
const (
	kindHello      kind = 1
	kindSockets    kind = 2
	kindState      kind = 3
	kindStateData  kind = 4
	kindStateEnd   kind = 5
	kindPrepared   kind = 6
	kindReady      kind = 7
	kindServe      kind = 8
	kindServing    kind = 9
	kindCommit     kind = 10
	kindAbort      kind = 11
	kindConnection kind = 12
	kindTaken      kind = 13
	kindBeat       kind = 14
	kindDraining   kind = 15
	kindStart      kind = 16
	kindStarted    kind = 17
	kindExited     kind = 18
	kindServed     kind = 19
	kindStop       kind = 20
	kindRequest    kind = 21
	kindVerdict    kind = 22
	kindProbe      kind = 23
	kindAlive      kind = 24
)

// kinds has the name and the decoder of each known kind. Index 0 is unused.
var kinds = [...]struct {
	name   string
	decode func(payload []byte) (Message, error)
}{
	kindHello:      {"hello", decodeJSON[Hello]},
	kindSockets:    {"sockets", decodeJSON[Sockets]},
	kindState:      {"state", decodeJSON[State]},
	kindStateData:  {"state data", decodeRaw},
	kindStateEnd:   {"state end", decodeJSON[StateEnd]},
	kindPrepared:   {"prepared", decodeJSON[Prepared]},
	kindReady:      {"ready", decodeJSON[Ready]},
	kindServe:      {"serve", decodeJSON[Serve]},
	kindServing:    {"serving", decodeJSON[Serving]},
	kindCommit:     {"commit", decodeJSON[Commit]},
	kindAbort:      {"abort", decodeJSON[Abort]},
	kindConnection: {"connection", decodeJSON[Connection]},
	kindTaken:      {"taken", decodeJSON[Taken]},
	kindBeat:       {"beat", decodeJSON[Beat]},
	kindDraining:   {"draining", decodeJSON[Draining]},
	kindStart:      {"start", decodeJSON[Start]},
	kindStarted:    {"started", decodeJSON[Started]},
	kindExited:     {"exited", decodeJSON[Exited]},
	kindServed:     {"served", decodeJSON[Served]},
	kindStop:       {"stop", decodeJSON[Stop]},
	kindRequest:    {"request", decodeJSON[Request]},
	kindVerdict:    {"verdict", decodeJSON[Verdict]},
	kindProbe:      {"probe", decodeJSON[Probe]},
	kindAlive:      {"alive", decodeJSON[Alive]},
}

func (k kind) known() bool { return k > 0 && int(k) < len(kinds) }

func (k kind) String() string {
	if !k.known() {
		return fmt.Sprintf("kind %d", uint8(k))
	}
	return kinds[k].name
}

// Name is what the protocol calls m, for logs and errors: "state end". It is
// empty for nil.
func Name(m Message) string {
	if m == nil {
		return ""
	}
	return m.kind().String()
}
