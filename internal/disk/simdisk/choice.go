package simdisk

import "maps"

// A choice is something about names that a crash decides: the value of one name,
// or how far the journal got.
type choice struct {
	dir     *node
	name    string
	values  []*node // the durable one first
	options int
}

// choices lists what a crash decides about names. d.mu is held.
func (d *Disk) choices() []*choice {
	if d.model == Ordered {
		return []*choice{{options: len(d.pending) + 1}}
	}
	type key struct {
		dir  *node
		name string
	}
	var list []*choice
	of := map[key]*choice{}
	reach := d.reach()
	for _, r := range d.pending {
		for _, e := range r.entries {
			if !reach[e.dir] {
				continue // the folder is gone for good
			}
			c := of[key{e.dir, e.name}]
			if c == nil {
				c = &choice{dir: e.dir, name: e.name, values: []*node{e.dir.durable[e.name]}}
				of[key{e.dir, e.name}] = c
				list = append(list, c)
			}
			c.values = append(c.values, e.to)
			c.options = len(c.values)
		}
	}
	return list
}

// reach returns the folders that a crash may leave.
func (d *Disk) reach() map[*node]bool {
	reach := map[*node]bool{}
	var walk func(n *node)
	walk = func(n *node) {
		if n == nil || !n.mode.IsDir() || reach[n] {
			return
		}
		reach[n] = true
		for _, m := range n.durable {
			walk(m)
		}
		for _, r := range d.pending {
			for _, e := range r.entries {
				if e.dir == n {
					walk(e.to)
				}
			}
		}
	}
	walk(d.root)
	return reach
}

// names returns what the folders hold when the choices fall that way.
func (d *Disk) names(choices []*choice, picks []int) func(dir *node) map[string]*node {
	changed := map[*node]map[string]*node{}
	set := func(dir *node, name string, to *node) {
		if changed[dir] == nil {
			changed[dir] = maps.Clone(dir.durable)
		}
		if to == nil {
			delete(changed[dir], name)
		} else {
			changed[dir][name] = to
		}
	}
	if d.model == Ordered {
		for _, r := range d.pending[:picks[0]] {
			for _, e := range r.entries {
				set(e.dir, e.name, e.to)
			}
		}
	} else {
		for i, c := range choices {
			set(c.dir, c.name, c.values[picks[i]])
		}
	}
	return func(dir *node) map[string]*node {
		if m, ok := changed[dir]; ok {
			return m
		}
		return dir.durable
	}
}
