package main

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"

	"github.com/theseus-run/theseus/upgrade"
)

// A verdict is the answer to POST /-/upgrade.
type verdict struct {
	PID        int    `json:"pid,omitempty"` // of the new process, which is the service
	Error      string `json:"error,omitempty"`
	RolledBack bool   `json:"rolled_back,omitempty"`
}

// upgradeNow upgrades and tells how that ended: 200 by success, 409 when the process
// is not the one to do it now, 422 when it failed or was refused.
func upgradeNow(u *upgrade.Upgrader, w http.ResponseWriter, r *http.Request) {
	report, err := u.Upgrade(context.WithoutCancel(r.Context()), upgrade.Request{Force: r.FormValue("force") != ""})
	status, v := http.StatusOK, verdict{}
	var failed *upgrade.FailedError
	var rejected *upgrade.RejectedError
	switch {
	case err == nil:
		v.PID = report.PID
	case errors.As(err, &failed):
		status, v.RolledBack = http.StatusUnprocessableEntity, failed.RolledBack
	case errors.As(err, &rejected):
		status = http.StatusUnprocessableEntity
	default:
		status = http.StatusConflict
	}
	if err != nil {
		v.Error = err.Error()
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v)
}
