package admin

import (
	"context"
	"errors"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/proto"

	adminv1 "github.com/theseus-run/theseus/admin/v1"
	"github.com/theseus-run/theseus/app"
)

var (
	// errClosing ends streams when the server stops.
	errClosing = errors.New("theseus is shutting down")
	// errKeyReused is for a key that stands for another request.
	errKeyReused = errors.New("the idempotency key was used for another request: take a new one")
	// errBusy is for more changes under way than keys are kept.
	errBusy = errors.New("too many changes are under way: try again later")
)

// A laggedError ends the stream of a caller that reads too slowly.
type laggedError struct{ after int64 }

func (e *laggedError) Error() string {
	return "the stream fell behind: open it again after the last event"
}

// rpcError gives an error the code and details that the schema promises. It is
// the one place where they are mapped. Nil stays nil.
func (s *Server) rpcError(err error) error {
	if err == nil {
		return nil
	}
	var (
		coded   *connect.Error
		refused *app.RefusedError
		lagged  *laggedError
		upgrade *UpgradeError
	)
	switch {
	case errors.As(err, &coded):
		return coded
	case errors.As(err, &refused):
		return coding(connect.CodeFailedPrecondition, err, &adminv1.Refusal{Update: updateProto(refused.Update)})
	case errors.As(err, &lagged):
		return coding(connect.CodeAborted, err, &adminv1.Lagged{After: lagged.after, Instance: s.instance})
	case errors.As(err, &upgrade):
		return coding(connect.CodeFailedPrecondition, err, &adminv1.UpgradeFailure{
			Step: valid(upgrade.Step), RolledBack: upgrade.RolledBack, Remembered: upgrade.Remembered, Reason: valid(upgrade.Reason)})
	case errors.Is(err, app.ErrSuspended), errors.Is(err, ErrBusy):
		return coding(connect.CodeAborted, err, nil)
	case errors.Is(err, errors.ErrUnsupported):
		return coding(connect.CodeUnimplemented, err, nil)
	case errors.Is(err, app.ErrConflict):
		return coding(connect.CodeAborted, err, &adminv1.Conflict{LiveGeneration: i32(s.app.Status().Live.Number)})
	case errors.Is(err, app.ErrNotFound):
		return coding(connect.CodeNotFound, err, nil)
	case errors.Is(err, app.ErrClosed), errors.Is(err, errClosing):
		return coding(connect.CodeUnavailable, err, nil)
	case errors.Is(err, errKeyReused):
		return coding(connect.CodeInvalidArgument, err, nil)
	case errors.Is(err, errBusy):
		return coding(connect.CodeResourceExhausted, err, nil)
	case errors.Is(err, context.DeadlineExceeded):
		return coding(connect.CodeDeadlineExceeded, err, nil)
	case errors.Is(err, context.Canceled):
		return coding(connect.CodeCanceled, err, nil)
	}
	return coding(connect.CodeInternal, err, nil)
}

// coding returns an error with the text of err, made valid UTF-8, that carries m
// unless it is nil. A detail that can't be encoded is left out: the code and the
// text still tell.
func coding(code connect.Code, err error, m proto.Message) *connect.Error {
	e := connect.NewError(code, errors.New(valid(err.Error())))
	if m == nil {
		return e
	}
	if d, derr := connect.NewErrorDetail(m); derr == nil {
		e.AddDetail(d)
	}
	return e
}

// RefusalOf returns the update that a check stopped, if that is what err, as a
// client got it, says.
func RefusalOf(err error) (app.Update, bool) {
	m, ok := detail[*adminv1.Refusal](err)
	return UpdateFrom(m.GetUpdate()), ok
}

// ConflictOf returns the generation that is live instead of the expected one, if
// that is what err, as a client got it, says.
func ConflictOf(err error) (live int, ok bool) {
	m, ok := detail[*adminv1.Conflict](err)
	return int(m.GetLiveGeneration()), ok
}

// detail finds a detail of type M in an error of the client.
func detail[M proto.Message](err error) (m M, ok bool) {
	var e *connect.Error
	if !errors.As(err, &e) {
		return m, false
	}
	for _, d := range e.Details() {
		if v, err := d.Value(); err == nil {
			if m, ok := v.(M); ok {
				return m, true
			}
		}
	}
	return m, false
}
