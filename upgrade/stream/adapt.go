package stream

import "net/http"

// Source is a host whose connections have a type of their own.
type Source[C Conn] interface {
	Hijack(w http.ResponseWriter, kind string) (C, error)
	Resume(kind string, f func(c C, state []byte))
}

// Adapt makes a [Host] of one that returns its own type of connection, as package
// upgrade's Upgrader does: stream.NewSocket(stream.Adapt(up), "chat", run).
func Adapt[C Conn](src Source[C]) Host { return adapted[C]{src} }

type adapted[C Conn] struct{ src Source[C] }

// Hijack implements Host.
func (a adapted[C]) Hijack(w http.ResponseWriter, kind string) (Conn, error) {
	c, err := a.src.Hijack(w, kind)
	if err != nil {
		return nil, err // not the typed nil that c may be
	}
	return c, nil
}

// Resume implements Host.
func (a adapted[C]) Resume(kind string, f func(c Conn, state []byte)) {
	a.src.Resume(kind, func(c C, state []byte) { f(c, state) })
}
