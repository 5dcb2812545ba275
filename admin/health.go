package admin

import (
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/theseus-run/theseus/app"
)

// serveLive says that the process answers. It looks at nothing else, so that a
// restart is only asked for when it would help.
func (s *Server) serveLive(w http.ResponseWriter, _ *http.Request) {
	probe(w, http.StatusOK, "ok\n")
}

// serveReady says whether the app serves. A refused update doesn't change it:
// the generation before serves on. ?verbose lists the checks.
func (s *Server) serveReady(w http.ResponseWriter, r *http.Request) {
	status, word := http.StatusOK, "ok\n"
	err := s.opt.Ready()
	if err != nil {
		status, word = http.StatusServiceUnavailable, "not ready: "+oneLine(err.Error())+"\n"
	}
	if !r.URL.Query().Has("verbose") {
		probe(w, status, word)
		return
	}
	st := s.app.Status()
	var b strings.Builder
	check(&b, err == nil, "ready")
	check(&b, st.Live.Number > 0, fmt.Sprintf("generation %d is live", st.Live.Number))
	if st.Drift {
		b.WriteString("[i] drift: the disk is not what is live; it serves on\n")
	} else {
		b.WriteString("[i] drift: none\n")
	}
	if u := st.LastUpdate; u != nil && u.Outcome != "" {
		fmt.Fprintf(&b, "[i] last update: %s\n", u.Outcome)
	}
	if s.opt.Version != "" {
		fmt.Fprintf(&b, "[i] theseus: %s\n", oneLine(s.opt.Version))
	}
	probe(w, status, b.String()+word)
}

func check(b *strings.Builder, ok bool, what string) {
	mark := "[+]"
	if !ok {
		mark = "[-]"
	}
	fmt.Fprintf(b, "%s %s\n", mark, what)
}

func probe(w http.ResponseWriter, status int, body string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(status)
	w.Write([]byte(body))
}

// updateState is the body of /updatez. It has no problems and no paths: the
// probe is open.
type updateState struct {
	State      app.State   `json:"state"`
	Generation int         `json:"generation"`        // the live one
	Permanent  int         `json:"permanent"`         // the one that a cold start loads
	OnTrial    bool        `json:"on_trial"`          // the live one has yet to prove itself
	Step       string      `json:"step,omitempty"`    // what the change under way is at: a step, or a hook around one
	Waiting    string      `json:"waiting,omitempty"` // the guard or the hook that it waits for
	Since      *time.Time  `json:"since,omitempty"`   // when that began, or the trial; unset while nothing is under way
	Drift      bool        `json:"drift"`
	Version    string      `json:"version,omitempty"` // of theseus, and what follows of the program that runs
	Commit     string      `json:"commit,omitempty"`
	Digest     string      `json:"digest,omitempty"`
	Counter    int64       `json:"counter,omitempty"`
	Floor      int64       `json:"floor,omitempty"`  // the highest counter of a generation that has proved itself
	Update     *lastUpdate `json:"update,omitempty"` // running, or the last
	Outcome    app.Outcome `json:"last_outcome,omitempty"`
}

type lastUpdate struct {
	ID         string      `json:"id"`
	Trigger    string      `json:"trigger"`
	State      app.State   `json:"state"`
	Outcome    app.Outcome `json:"outcome,omitempty"`
	From       int         `json:"from"`
	Generation int         `json:"generation"`
	Problems   int         `json:"problems"`
	Started    time.Time   `json:"started"`
	Ended      time.Time   `json:"ended,omitzero"`
}

// serveUpdate says where the update stands, and how the last one ended. It is
// always 200: a refused update is no reason to act on the process.
func (s *Server) serveUpdate(w http.ResponseWriter, _ *http.Request) {
	st := s.app.Status()
	out := updateState{State: st.State, Generation: st.Live.Number, Permanent: st.Permanent, OnTrial: st.OnTrial, Waiting: st.Waiting, Drift: st.Drift, Version: st.Version, Floor: st.Floor}
	if p := st.Program; p != nil {
		out.Commit, out.Digest, out.Counter = p.Commit, p.Digest, p.Counter
	}
	if d := s.app.Doing(); !d.Since.IsZero() {
		out.Step, out.Since = d.Step, &d.Since
	} else if u := st.LastUpdate; st.OnTrial && u != nil {
		out.Since = &u.Ended
	}
	if u := st.LastUpdate; u != nil {
		out.Outcome = u.Outcome
		out.Update = &lastUpdate{
			ID: u.ID, Trigger: u.Trigger, State: u.State, Outcome: u.Outcome, From: u.From,
			Generation: u.Generation, Problems: len(u.Problems), Started: u.Started, Ended: u.Ended,
		}
	}
	writeJSON(w, http.StatusOK, out)
}
