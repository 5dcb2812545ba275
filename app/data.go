package app

import (
	"fmt"

	"github.com/theseus-run/theseus/internal/kv"
)

// dataDir is where the data of scripts is kept in the state directory.
const dataDir = "data"

// openData opens the data that scripts share. It survives generations, processes, and
// crashes. An app that stands by has it together with the one that serves, which must
// have called [App.ShareData].
func (a *App) openData() error {
	data, err := kv.Open(a.store.FS(), dataDir, kv.Options{Shared: a.opt.Standby})
	if err != nil {
		return fmt.Errorf("the data of scripts: %w", err)
	}
	if r := data.Recovered(); r.Missing || len(r.Damaged) > 0 {
		a.log.Error("part of the data of scripts is lost", "damaged", len(r.Damaged), "missing", r.Missing, "aside", r.Aside)
	}
	a.kv, a.env.kv = data, data
	return nil
}

// ShareData says whether another process may have the data of scripts too. Then
// every access of both is in one order, at the cost of some microseconds. Both must
// share it for as long as both live. It is safe for concurrent use.
func (a *App) ShareData(on bool) error { return a.kv.Share(on) }
