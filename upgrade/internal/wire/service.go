package wire

import "time"

// Connection passes on the connection whose descriptor travels with it. The
// sender keeps its own copy open, and reads nothing from it, until [Taken].
type Connection struct {
	ID       uint64 `json:"id"`               // chosen by the sender, unique on this link
	Kind     string `json:"kind,omitempty"`   // who takes it; "" is HTTP/1 between two requests
	Listener string `json:"listener"`         // name of the socket that accepted it
	State    []byte `json:"state,omitempty"`  // for the one who takes it
	Unread   []byte `json:"unread,omitempty"` // read from the connection, not used yet
}

// Taken answers a [Connection].
type Taken struct {
	ID     uint64 `json:"id"`
	OK     bool   `json:"ok"`               // false: the connection stays with the sender of Connection
	Reason string `json:"reason,omitempty"` // why not
}

// Beat says that the sender is alive, and how it is. Counters are totals since
// the process began to serve.
type Beat struct {
	Seq      uint64 `json:"seq"` // rises by one with each beat
	Healthy  bool   `json:"healthy"`
	Reason   string `json:"reason,omitempty"` // why not healthy
	Arrived  uint64 `json:"arrived"`          // requests that reached a handler
	Requests uint64 `json:"requests"`         // of these, those whose answer has begun
	Errors   uint64 `json:"errors"`
	Inflight int64  `json:"inflight"` // requests under way now
}

// Draining lists the processes that still finish what they have, the sender
// included if it does.
type Draining struct {
	Processes []Process `json:"processes"`
}

// Process is one entry of [Draining].
type Process struct {
	PID         int            `json:"pid"`
	Generation  int            `json:"generation"`
	Release     Release        `json:"release"`
	Since       time.Time      `json:"since"`                 // when it began to drain
	Deadline    time.Time      `json:"deadline,omitzero"`     // when it cancels the rest; zero means never
	Connections map[string]int `json:"connections,omitempty"` // open ones by kind
	Inflight    int64          `json:"inflight"`              // requests under way
}

// Start asks the supervisor to start a process as the sender's successor. The
// supervisor adds the arguments and the environment of its own command.
type Start struct {
	Path string   `json:"path"`           // of the executable
	Args []string `json:"args,omitempty"` // without the program's name; nil means those of the sender
	Env  []string `json:"env,omitempty"`  // added to the environment
}

// Started answers a [Start]. Two descriptors travel with it, none if there is a
// Reason: the sender's end of the control link to the process, and its pidfd.
type Started struct {
	PID    int    `json:"pid,omitempty"`
	Reason string `json:"reason,omitempty"` // why it could not be started
}

// Exited tells the one who asked for the process how it ended.
type Exited struct {
	PID    int    `json:"pid"`
	Status string `json:"status"` // as people read it: "exit status 1", "signal: killed"
}

// Served tells the supervisor that the sender has become the service.
type Served struct {
	Generation int     `json:"generation"`
	Release    Release `json:"release"`
}

// Stop asks a draining predecessor to cancel what is left now.
type Stop struct{}

// Request asks a worker to upgrade.
type Request struct {
	ID    uint64 `json:"id"`             // chosen by the sender
	Path  string `json:"path,omitempty"` // of the executable; empty means the same path as before
	Force bool   `json:"force,omitempty"`
}

// Verdict answers a [Request] when the upgrade is over.
type Verdict struct {
	ID     uint64 `json:"id"`
	OK     bool   `json:"ok"`
	Reason string `json:"reason,omitempty"` // why not
}

// Probe asks the receiver for a sign of life: the heartbeats that came before may
// be its last.
type Probe struct{}

// Alive answers a [Probe], at once.
type Alive struct{}

func (Connection) kind() kind { return kindConnection }
func (Taken) kind() kind      { return kindTaken }
func (Beat) kind() kind       { return kindBeat }
func (Draining) kind() kind   { return kindDraining }
func (Start) kind() kind      { return kindStart }
func (Started) kind() kind    { return kindStarted }
func (Exited) kind() kind     { return kindExited }
func (Served) kind() kind     { return kindServed }
func (Stop) kind() kind       { return kindStop }
func (Request) kind() kind    { return kindRequest }
func (Verdict) kind() kind    { return kindVerdict }
func (Probe) kind() kind      { return kindProbe }
func (Alive) kind() kind      { return kindAlive }

func (Connection) files() int { return 1 }

func (m Started) files() int {
	if m.Reason != "" {
		return 0
	}
	return 2
}
