package supervisor

import "time"

// post has the loop do f; false means that it has ended.
func (s *Supervisor) post(f func()) bool {
	select {
	case s.inbox <- f:
		return true
	case <-s.over:
		return false
	}
}

// do is post that waits for the end of f.
func (s *Supervisor) do(f func()) bool {
	ran := make(chan struct{})
	return s.post(func() { defer close(ran); f() }) && func() bool {
		select {
		case <-ran:
			return true
		case <-s.over:
			return false
		}
	}()
}

// drainInbox does what is posted until done is closed, which it returns.
func (s *Supervisor) drainInbox(done <-chan struct{}) <-chan struct{} {
	for {
		select {
		case f := <-s.inbox:
			f()
		case <-done:
			return done
		}
	}
}

// An alarm has the loop do something later, unless it is stopped.
type alarm struct {
	timer *time.Timer
	due   time.Time
}

// after makes an alarm. The loop calls it, and stop.
func (s *Supervisor) after(d time.Duration, f func()) *alarm {
	a := &alarm{due: time.Now().Add(d)}
	a.timer = time.AfterFunc(d, func() {
		s.post(func() {
			if a.timer != nil {
				a.timer = nil
				f()
			}
		})
	})
	return a
}

// stop makes sure that the alarm does nothing any more; nil is allowed.
func (a *alarm) stop() {
	if a != nil && a.timer != nil {
		a.timer.Stop()
		a.timer = nil
	}
}
