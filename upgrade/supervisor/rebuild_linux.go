package supervisor

import "time"

// rebuild makes s what v describes, out of copies of the descriptors. Own says that
// the workers are children of this process.
func (s *Supervisor) rebuild(v *saved, own bool) error {
	s.program.path, s.program.args = v.Path, v.Args
	s.started, s.activated, s.generation, s.everServed = v.Started, v.Activated, v.Generation, true
	s.restarts, s.upgrades, s.replaced, s.lastStatus, s.lastID = v.Restarts, v.Upgrades, v.Replaced, v.LastStatus, v.LastID
	s.pause = max(time.Duration(v.Pause), s.opt.pace.first)
	if v.Stored != nil {
		s.stored = v.Stored
	}
	now := time.Now()
	if v.Degraded != nil {
		s.degraded = now.Add(-time.Duration(*v.Degraded))
	}
	if v.Pin != nil {
		var err error
		if s.program.pin, err = duplicate(v.Pin.FD, 3); err != nil {
			return err
		}
	}
	if e := v.Earlier; e != nil {
		pin, err := duplicate(e.Pin.FD, 3)
		if err != nil {
			return err
		}
		s.earlier = program{path: e.Path, args: e.Args, pin: pin}
	}
	for _, sw := range v.Workers {
		w, err := s.rebuildWorker(sw, own)
		if err != nil {
			return err
		}
		w.began = now.Add(-time.Duration(sw.Age))
		s.workers = append(s.workers, w)
		if w.number == v.Serving {
			s.serving = w
		}
	}
	return s.rebuildSnapshot(v.Snapshot, now)
}

func (s *Supervisor) rebuildWorker(v savedWorker, own bool) (*worker, error) {
	w := &worker{number: v.Number, program: program{path: v.Path, args: v.Args, pin: -1}, state: v.State, beats: -1,
		greeted: v.Greeted, kept: v.Kept, generation: v.Generation, release: v.Release, lost: true}
	var err error
	if own {
		w.proc, err = s.procs.adopt(v.PID)
	} else {
		w.proc = &proc{pid: v.PID, fd: -1}
	}
	if err != nil {
		return nil, err
	}
	if w.beats, err = duplicate(v.Beats.FD, 3); err != nil {
		return nil, err
	}
	if v.Link == nil {
		return w, nil
	}
	fd, err := duplicate(v.Link.FD, 3)
	if err != nil {
		return nil, err
	}
	if w.conduit, err = newConduit(fd); err != nil {
		return nil, err
	}
	w.lost = false
	return w, nil
}

func (s *Supervisor) rebuildSnapshot(v *savedSnapshot, now time.Time) error {
	if v == nil {
		return nil
	}
	s.snap = newSnapshot()
	s.snap.at, s.snap.states = now.Add(-time.Duration(v.Age)), v.States
	for _, sock := range v.Sockets {
		fd, err := duplicate(sock.FD, 3)
		if err != nil {
			return err
		}
		s.snap.sockets = append(s.snap.sockets, heldSocket{sock.Socket, fd})
	}
	if v.Blob == nil {
		return nil
	}
	fd, err := duplicate(v.Blob.FD, 3)
	if err != nil {
		return err
	}
	s.snap.blob = fd
	return nil
}
