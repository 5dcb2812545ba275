package admin

import (
	"net/http"

	"github.com/theseus-run/theseus/app"
)

// loadedGeneration is one generation that is in memory.
type loadedGeneration struct {
	Number         int                 `json:"number"`
	Digest         string              `json:"digest"`
	State          app.GenerationState `json:"state"`
	ActiveRequests int64               `json:"active_requests"`
	ActiveStreams  int64               `json:"active_streams"`
	Units          []loadedUnit        `json:"units"`
}

// loadedUnit is one unit of a generation.
type loadedUnit struct {
	Name       string `json:"name"`
	Engine     string `json:"engine"`
	Digest     string `json:"digest"`
	Since      int    `json:"since_generation"`
	Executions int64  `json:"executions"`
	Errors     int64  `json:"errors"`
}

// serveLoaded lists everything that is loaded: the live generation first, then
// those that are still draining, each with its digest, the requests that run in
// it, and its units.
func (s *Server) serveLoaded(w http.ResponseWriter, _ *http.Request) {
	st := s.app.Status()
	out := struct {
		App         string             `json:"app"`
		Version     string             `json:"version,omitempty"`
		Generations []loadedGeneration `json:"generations"`
	}{App: st.App, Version: s.opt.Version, Generations: []loadedGeneration{}}
	if st.Live.Number > 0 {
		out.Generations = append(out.Generations, loaded(st.Live, s.app.Units()))
	}
	for _, g := range st.Draining {
		// One that is gone by now has no units to list.
		d, _ := s.app.Generation(g.Number)
		out.Generations = append(out.Generations, loaded(g, d.Parts))
	}
	writeJSON(w, http.StatusOK, out)
}

func loaded(g app.GenerationInfo, units []app.UnitInfo) loadedGeneration {
	out := loadedGeneration{
		Number: g.Number, Digest: g.Digest, State: g.State,
		ActiveRequests: g.Inflight, ActiveStreams: g.Streams, Units: []loadedUnit{},
	}
	for _, u := range units {
		out.Units = append(out.Units, loadedUnit{u.Name, u.Engine, u.Digest, u.Since, u.Executions, u.Errors})
	}
	return out
}
