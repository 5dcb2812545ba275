package simdisk

import (
	"crypto/sha256"
	"fmt"
	"iter"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
)

// Crash returns a disk as a loss of power may leave it; d itself goes on. Seed 0
// drops whatever may be lost, seed 1 keeps everything, every other seed draws one
// possible state.
func (d *Disk) Crash(seed uint64) *Disk {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.crash(seed)
}

func (d *Disk) crash(seed uint64) *Disk {
	r := rand.New(rand.NewPCG(seed, 0))
	choices := d.choices()
	picks := make([]int, len(choices))
	for i, c := range choices {
		switch seed {
		case 0:
		case 1:
			picks[i] = c.options - 1
		default:
			picks[i] = r.IntN(c.options)
		}
	}
	return d.build(choices, picks, func(n *node) []byte {
		all := n.variants()
		switch v := r.IntN(4); {
		case seed == 0:
			return n.after(all[0])
		case seed == 1:
			return n.after(all[min(1, len(all)-1)])
		case v == 0:
			return n.sectors(func() bool { return r.IntN(2) == 0 })
		}
		return n.after(all[r.IntN(len(all))])
	})
}

// States gives every disk that a loss of power may leave, each once, if there are
// at most limit ways to it. Otherwise, and then exhaustive is false, it gives limit
// of them, drawn by the seeds from 0. D itself goes on, and may be changed between
// two states.
func (d *Disk) States(limit int) (states iter.Seq[*Disk], exhaustive bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	seen := map[[32]byte]bool{}
	var all []*Disk
	add := func(c *Disk) {
		if sum := c.digest(); !seen[sum] {
			seen[sum] = true
			all = append(all, c)
		}
	}
	if exhaustive = d.ways(limit) <= limit; exhaustive {
		d.every(add)
	} else {
		for seed := range uint64(limit) {
			add(d.crash(seed))
		}
	}
	return slices.Values(all), exhaustive
}

// build makes the disk that the choices lead to, with the content that is given
// for each file.
func (d *Disk) build(choices []*choice, picks []int, content func(*node) []byte) *Disk {
	names := d.names(choices, picks)
	c := &Disk{model: d.model, nodes: d.nodes, faults: faults{space: -1}}
	made := map[*node]*node{}
	var clone func(n *node) *node
	clone = func(n *node) *node {
		if m := made[n]; m != nil {
			return m
		}
		m := &node{id: n.id, mode: n.mode}
		made[n] = m
		if !n.mode.IsDir() {
			m.base = content(n)
			m.data = slices.Clone(m.base)
			return m
		}
		m.names = map[string]*node{}
		of := names(n)
		for _, name := range slices.Sorted(maps.Keys(of)) {
			m.names[name] = clone(of[name])
		}
		m.durable = maps.Clone(m.names)
		return m
	}
	c.root = clone(d.root)
	return c
}

// each calls do with every way that the choices can fall, until it returns false.
func each(options []int, do func(picks []int) bool) {
	picks := make([]int, len(options))
	for {
		if !do(picks) {
			return
		}
		i := 0
		for ; i < len(picks); i++ {
			if picks[i]++; picks[i] < options[i] {
				break
			}
			picks[i] = 0
		}
		if i == len(picks) {
			return
		}
	}
}

func optionsOf(choices []*choice) []int {
	options := make([]int, len(choices))
	for i, c := range choices {
		options[i] = c.options
	}
	return options
}

// doubted returns the files in reach whose content a crash decides, and how many
// variants each has.
func (d *Disk) doubted(choices []*choice, picks []int) (files []*node, options []int) {
	names := d.names(choices, picks)
	seen := map[*node]bool{}
	var walk func(n *node)
	walk = func(n *node) {
		if seen[n] {
			return
		}
		seen[n] = true
		if !n.mode.IsDir() {
			if v := len(n.variants()); v > 1 {
				files, options = append(files, n), append(options, v)
			}
			return
		}
		of := names(n)
		for _, name := range slices.Sorted(maps.Keys(of)) {
			walk(of[name])
		}
	}
	walk(d.root)
	return files, options
}

// ways counts the ways a crash can go, up to a little more than limit.
func (d *Disk) ways(limit int) int {
	choices := d.choices()
	if product(optionsOf(choices)) > limit {
		return math.MaxInt
	}
	total := 0
	each(optionsOf(choices), func(picks []int) bool {
		_, options := d.doubted(choices, picks)
		if n := product(options); n > limit {
			total = math.MaxInt
		} else {
			total += n
		}
		return total <= limit
	})
	return total
}

func product(options []int) int {
	n := 1
	for _, o := range options {
		if n *= o; n > 1<<30 {
			return math.MaxInt
		}
	}
	return n
}

// every calls add with each way a crash can go.
func (d *Disk) every(add func(*Disk)) {
	choices := d.choices()
	each(optionsOf(choices), func(picks []int) bool {
		files, options := d.doubted(choices, picks)
		each(options, func(of []int) bool {
			add(d.build(choices, picks, func(n *node) []byte {
				if i := slices.Index(files, n); i >= 0 {
					return n.after(n.variants()[of[i]])
				}
				return n.after(variant{skip: -1, cut: -1})
			}))
			return true
		})
		return true
	})
}

// digest tells disks apart by what is in them.
func (d *Disk) digest() (sum [32]byte) {
	h := sha256.New()
	var walk func(n *node)
	walk = func(n *node) {
		fmt.Fprintln(h, n.mode, len(n.base), len(n.names))
		h.Write(n.base)
		for _, name := range slices.Sorted(maps.Keys(n.names)) {
			fmt.Fprintf(h, "%q\n", name)
			walk(n.names[name])
		}
	}
	walk(d.root)
	h.Sum(sum[:0])
	return sum
}
