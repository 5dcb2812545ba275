package wire

import "time"

// A Message is one of the message types of this package, by value.
type Message interface{ kind() kind }

// Hello is the first message in both directions.
type Hello struct {
	Min        int      `json:"min"`                // oldest protocol version spoken, from 1
	Max        int      `json:"max"`                // newest one
	PID        int      `json:"pid"`                // as its own PID namespace sees it
	Release    Release  `json:"release"`            // what the sender runs
	Rejected   []string `json:"rejected,omitempty"` // digests of releases that were rolled back
	Generation int      `json:"generation"`         // of the sender; the first process has 1
	Limits     Limits   `json:"limits"`             // what the sender accepts
	Force      bool     `json:"force,omitempty"`    // take the sender's release though it was rolled back
}

// Limits is what the sender of a [Hello] accepts beyond the limits of a frame.
type Limits struct {
	State int64 `json:"state,omitempty"` // bytes of all states together; 0 means no limit
}

// Release identifies an executable.
type Release struct {
	Digest  string `json:"digest"`            // SHA-256 of the file
	Version string `json:"version,omitempty"` // as people call it
	Path    string `json:"path,omitempty"`    // where it was started from
	Counter int64  `json:"counter,omitempty"` // its rollback counter; 0 for none
}

// Sockets names the descriptors that travel with it, in the same order. A list
// longer than [MaxFiles] is sent as several messages.
type Sockets struct {
	Sockets []Socket `json:"sockets"`
}

// Socket is one descriptor of [Sockets].
type Socket struct {
	Name      string `json:"name"`                // key by which the successor asks for it
	Network   string `json:"network"`             // "tcp", "tcp4", "udp", "unix", "unixgram", "unixpacket", "file"
	Address   string `json:"address,omitempty"`   // where it is bound
	Requested string `json:"requested,omitempty"` // what was asked for, such as ":0"
	Unlink    string `json:"unlink,omitempty"`    // path that the last owner removes; empty for none
}

// State begins a blob. Its bytes follow as [StateData], then comes [StateEnd];
// the blobs of one link do not overlap.
type State struct {
	Name    string `json:"name"`
	Version int    `json:"version"` // of the blob's format, the application's business
	Size    int64  `json:"size"`    // bytes, -1 if not known in advance
}

// StateData is the next piece of the blob that [State] began.
type StateData struct {
	Data []byte // 0 to [MaxStateData] bytes
}

// StateEnd ends the blob that [State] began.
type StateEnd struct {
	Name   string `json:"name"`
	SHA256 string `json:"sha256"` // of all bytes of the blob
	Size   int64  `json:"size"`   // bytes that were sent
}

// Prepared says that all sockets and states were sent: initialise now.
type Prepared struct{}

// Ready says that the sender is initialised and does not accept yet.
type Ready struct {
	// Sockets names those of the predecessor that the sender accepts from once it
	// serves. The others are left to the predecessor.
	Sockets []string `json:"sockets,omitempty"`

	// Heartbeat is the time between two [Beat]s, in nanoseconds.
	Heartbeat time.Duration `json:"heartbeat"`
}

// Serve tells the successor to accept, once it is ready: it may come before that,
// from a process that owns nothing. It owns the singletons from here on.
type Serve struct {
	// Singletons has the last state of each singleton by name. All states
	// together must fit a frame: about 700 KiB.
	Singletons map[string][]byte `json:"singletons,omitempty"`
}

// Serving says that the sender accepts.
type Serving struct{}

// Commit says that probation is over: the receiver is the service.
type Commit struct{}

// Abort ends the upgrade, from either side and at any time.
type Abort struct {
	Reason  string `json:"reason"`
	Stopped bool   `json:"stopped,omitempty"` // the sender was told to stop: it is not to blame
}

func (Hello) kind() kind     { return kindHello }
func (Sockets) kind() kind   { return kindSockets }
func (State) kind() kind     { return kindState }
func (StateData) kind() kind { return kindStateData }
func (StateEnd) kind() kind  { return kindStateEnd }
func (Prepared) kind() kind  { return kindPrepared }
func (Ready) kind() kind     { return kindReady }
func (Serve) kind() kind     { return kindServe }
func (Serving) kind() kind   { return kindServing }
func (Commit) kind() kind    { return kindCommit }
func (Abort) kind() kind     { return kindAbort }

func (m Sockets) files() int { return len(m.Sockets) }
