package topic

// channel returns the topic, which it makes when it is new. h.mu is held.
func (h *Hub) channel(name string) *channel {
	ch := h.topics[name]
	if ch == nil {
		ch = &channel{subs: make(map[*subscriber]struct{})}
		h.topics[name] = ch
	}
	return ch
}

// forget drops a topic that holds nothing and that no one listens to, so that
// names made up by a script do not pile up. h.mu is held.
func (h *Hub) forget(name string) {
	ch := h.topics[name]
	if ch != nil && len(ch.recent) == 0 && len(ch.subs) == 0 {
		h.lost = max(h.lost, ch.lost)
		delete(h.topics, name)
	}
}

// cost is what a message counts for in Options.Bytes: its bytes, and a constant
// for the rest, so that empty messages are not free.
func cost(m Message) int64 { return int64(len(m.Data)+len(m.Topic)) + 64 }

// keep adds m to its topic and lets the oldest go that exceed a limit. h.mu is held.
func (h *Hub) keep(ch *channel, m Message) {
	if h.opt.Replay < 0 || cost(m) > h.opt.Bytes {
		h.dropAll(ch)
		ch.lost = m.ID
		return
	}
	ch.recent = append(ch.recent, m)
	h.kept = append(h.kept, kept{m.ID, m.Topic})
	h.bytes += cost(m)
	if len(ch.recent) > h.opt.Replay {
		h.dropOldest(ch)
		h.stale++
	}
	for h.bytes > h.opt.Bytes {
		h.dropFirst()
	}
	if h.stale > len(h.kept)/2 && h.stale > h.opt.Replay {
		h.compact()
	}
}

// dropOldest lets the oldest message of a topic go.
func (h *Hub) dropOldest(ch *channel) {
	ch.lost = ch.recent[0].ID
	h.bytes -= cost(ch.recent[0])
	ch.recent[0] = Message{}
	ch.recent = ch.recent[1:]
}

// dropAll lets all messages of a topic go.
func (h *Hub) dropAll(ch *channel) {
	for len(ch.recent) > 0 {
		h.dropOldest(ch)
		h.stale++
	}
}

// dropFirst lets the oldest message of all topics go, or removes a stale entry.
func (h *Hub) dropFirst() {
	k := h.kept[0]
	h.kept = h.kept[1:]
	if !h.holds(k) {
		h.stale--
		return
	}
	h.dropOldest(h.topics[k.topic])
	h.forget(k.topic)
}

// compact removes the stale entries of kept.
func (h *Hub) compact() {
	live := make([]kept, 0, len(h.kept)-h.stale)
	for _, k := range h.kept {
		if h.holds(k) {
			live = append(live, k)
		}
	}
	h.kept, h.stale = live, 0
}

// holds reports whether a message is still in its topic.
func (h *Hub) holds(k kept) bool {
	ch := h.topics[k.topic]
	return ch != nil && len(ch.recent) > 0 && ch.recent[0].ID <= k.id
}
