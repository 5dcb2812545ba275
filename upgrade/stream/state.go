package stream

import (
	"encoding/json"
	"fmt"
)

// stateVersion is the version of the table in the package comment.
const stateVersion = 1

const (
	typeEvents = "events"
	typeSocket = "socket"
)

// envelope is what the successor needs beside the connection; see the table in
// the package comment.
type envelope struct {
	Version  int             `json:"v"`
	Type     string          `json:"type"`
	Chunked  bool            `json:"chunked,omitempty"`
	Protocol string          `json:"protocol,omitempty"`
	State    json.RawMessage `json:"state"`
}

// encodeState completes env with the application's state.
func encodeState(env envelope, s any) ([]byte, error) {
	raw, err := json.Marshal(s)
	if err != nil {
		return nil, fmt.Errorf("encode state of type %T: %w", s, err)
	}
	env.Version = stateVersion
	env.State = raw
	return json.Marshal(env)
}

// decodeState reads data into s, which is a pointer. Its errors wrap errState,
// and s is then of no use.
func decodeState(data []byte, typ string, s any) (envelope, error) {
	var env envelope
	if err := json.Unmarshal(data, &env); err != nil {
		return envelope{}, fmt.Errorf("%w: %w", errState, err)
	}
	switch {
	case env.Version != stateVersion:
		return envelope{}, fmt.Errorf("%w: version %d, this program knows %d", errState, env.Version, stateVersion)
	case env.Type != typ:
		return envelope{}, fmt.Errorf("%w: it is of type %q, this handler serves %q", errState, env.Type, typ)
	case len(env.State) == 0:
		return envelope{}, fmt.Errorf("%w: no state", errState)
	}
	if err := json.Unmarshal(env.State, s); err != nil {
		return envelope{}, fmt.Errorf("%w: decode state of type %T: %w", errState, s, err)
	}
	return env, nil
}
