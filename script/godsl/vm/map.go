package vm

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"slices"

	"github.com/theseus-run/theseus/script/godsl/ir"
)

// smallMap is how many entries are searched without an index.
const smallMap = 8

// A Map keeps its entries in the order in which they were added; that is also
// the order of iteration. A deleted entry leaves a gap until the map is
// rebuilt.
//
// A Map of the host begins as a view of the host's map. It is copied when it
// is changed, iterated, or asked for a value that the script could change.
type Map struct {
	t    *ir.Type
	host map[string]any
	*entries
}

// entries are what a Map has that is not a view.
type entries struct {
	keys  Array
	vals  Array
	n     int // entries, gaps included
	live  int
	dead  []bool // nil while there are no gaps
	epoch int    // grows when entries move

	byString map[string]int32
	byWord   map[uint64]int32
	byAny    map[any]int32
}

func newMap(t *ir.Type) *Map { return &Map{t: t, entries: &entries{}} }

func (mp *Map) len() int {
	if mp.host != nil {
		return len(mp.host)
	}
	return mp.live
}

// A mapKey is a key in the form in which it is looked up.
type mapKey struct {
	s string
	n uint64
	a any // for keys that are neither
}

// keyForm says which part of mapKey a key type uses.
func keyForm(t *ir.Type) ir.Class {
	switch {
	case t.Kind == ir.String:
		return ir.Strings
	case t.Integer() || t.Kind == ir.Bool:
		return ir.Words
	}
	return ir.Refs
}

// keyOf makes the lookup form of a key in its slots.
func (m *Machine) keyOf(t *ir.Type, b *Array, pos int32) mapKey {
	switch keyForm(t) {
	case ir.Strings:
		return mapKey{s: b.S[0]}
	case ir.Words:
		return mapKey{n: b.N[0]}
	}
	return mapKey{a: m.canonical(t, b, pos)}
}

type pointerKey struct {
	a   *Array
	off int32
}

// canonical returns a Go value that is equal for equal keys.
func (m *Machine) canonical(t *ir.Type, b *Array, pos int32) any {
	switch {
	case t.Float():
		f := math.Float64frombits(b.N[0])
		if f == 0 {
			f = 0
		}
		return f
	case t.Kind == ir.Pointer:
		v := b.L[0]
		return pointerKey{v.A, v.Off}
	case t.Kind == ir.Interface:
		return m.canonicalAny(b.R[0], pos)
	}
	return string(m.encodeKey(nil, t, b, pos))
}

type typedKey struct {
	t *ir.Type
	k any
}

func (m *Machine) canonicalAny(v any, pos int32) any {
	switch v := v.(type) {
	case view:
		if v.t.Kind == ir.Slice {
			m.fail(pos, "hash of unhashable type %s", v.t)
		}
		return typedKey{v.t, pointerKey{v.v.A, v.v.Off}}
	case *Map, ref:
		m.fail(pos, "hash of unhashable type %s", m.program.typeOf(v))
	case *boxed:
		if !v.t.Comparable() {
			m.fail(pos, "hash of unhashable type %s", v.t)
		}
		m.nest(pos)
		k := m.canonical(v.t, &v.a, pos)
		m.nesting--
		return typedKey{v.t, k}
	case word:
		if v.t.Float() {
			return typedKey{v.t, math.Float64frombits(v.n)}
		}
	}
	return v
}

func (m *Machine) encodeKey(out []byte, t *ir.Type, b *Array, pos int32) []byte {
	switch t.Class() {
	case ir.Words:
		n := b.N[0]
		if t.Float() && math.Float64frombits(n) == 0 {
			n = 0
		}
		return binary.LittleEndian.AppendUint64(out, n)
	case ir.Strings:
		out = binary.LittleEndian.AppendUint64(out, uint64(len(b.S[0])))
		return append(out, b.S[0]...)
	case ir.Views:
		v := b.L[0]
		if t.Kind == ir.Array {
			for i := range int(t.Len) {
				e := v.A.part(t.Elem.Slots, int(v.Off)+i, 1)
				out = m.encodeKey(out, t.Elem, &e, pos)
			}
			return out
		}
		return fmt.Appendf(out, "%p %d;", v.A, v.Off)
	case ir.Refs:
		t := m.program.typeOf(b.R[0])
		id := int32(-1)
		if t != nil {
			id = t.ID
		}
		text := fmt.Sprintf("%#v", m.canonicalAny(b.R[0], pos))
		return fmt.Appendf(out, "%d %d %s;", id, len(text), text)
	}
	for _, f := range t.Fields {
		e := b.inner(f.At, f.Type.Slots)
		out = m.encodeKey(out, f.Type, &e, pos)
	}
	return out
}

// find returns the number of the entry with key k, or -1.
func (mp *Map) find(k mapKey) int {
	form := keyForm(mp.t.Key)
	switch form {
	case ir.Strings:
		return mp.findString(k.s)
	case ir.Words:
		if mp.byWord == nil {
			for i := range mp.n {
				if mp.keys.N[i] == k.n && !mp.gap(i) {
					return i
				}
			}
			return -1
		}
		if i, ok := mp.byWord[k.n]; ok {
			return int(i)
		}
		return -1
	}
	if i, ok := mp.byAny[k.a]; ok {
		return int(i)
	}
	return -1
}

func (mp *Map) findString(s string) int {
	if mp.byString == nil {
		for i := range mp.n {
			if mp.keys.S[i] == s && !mp.gap(i) {
				return i
			}
		}
		return -1
	}
	if i, ok := mp.byString[s]; ok {
		return int(i)
	}
	return -1
}

func (mp *entries) gap(i int) bool { return mp.dead != nil && mp.dead[i] }

// slot returns the number of the entry for a key, adding one when there is
// none.
func (m *Machine) slot(mp *Map, key *Array, pos int32) int {
	m.own(mp)
	k := m.keyOf(mp.t.Key, key, pos)
	if i := mp.find(k); i >= 0 {
		return i
	}
	if mp.dead != nil && mp.n > 16 && mp.live < mp.n/2 {
		m.rebuild(mp)
	}
	kl, vl := mp.t.Key.Slots, mp.t.Elem.Slots
	m.Charge(48 + 2*(kl.Bytes()+vl.Bytes()))
	mp.keys.grow(kl)
	e := mp.keys.part(kl, mp.n, 1)
	e.set(key)
	if mp.t.Key.Arrays {
		m.cloneArrays(mp.t.Key, &e)
	}
	mp.vals.grow(vl)
	if mp.dead != nil {
		mp.dead = append(mp.dead, false)
	}
	mp.n++
	mp.live++
	mp.index(k, mp.n-1)
	return mp.n - 1
}

// index makes entry i known, building the index when the map stops being small.
func (mp *Map) index(k mapKey, i int) {
	switch keyForm(mp.t.Key) {
	case ir.Strings:
		if mp.byString != nil {
			mp.byString[k.s] = int32(i)
		} else if mp.n > smallMap {
			mp.byString = make(map[string]int32, 2*mp.n)
			for j := range mp.n {
				if !mp.gap(j) {
					mp.byString[mp.keys.S[j]] = int32(j)
				}
			}
		}
	case ir.Words:
		if mp.byWord != nil {
			mp.byWord[k.n] = int32(i)
		} else if mp.n > smallMap {
			mp.byWord = make(map[uint64]int32, 2*mp.n)
			for j := range mp.n {
				if !mp.gap(j) {
					mp.byWord[mp.keys.N[j]] = int32(j)
				}
			}
		}
	default:
		if mp.byAny == nil {
			mp.byAny = make(map[any]int32)
		}
		mp.byAny[k.a] = int32(i)
	}
}

// grow adds one zero element.
func (a *Array) grow(l ir.Layout) {
	for range l[0] {
		a.N = append(a.N, 0)
	}
	for range l[1] {
		a.S = append(a.S, "")
	}
	for range l[2] {
		a.L = append(a.L, View{})
	}
	for range l[3] {
		a.R = append(a.R, nil)
	}
}

// remove deletes an entry.
func (m *Machine) remove(mp *Map, key *Array, pos int32) {
	m.own(mp)
	k := m.keyOf(mp.t.Key, key, pos)
	i := mp.find(k)
	if i < 0 {
		return
	}
	if mp.dead == nil {
		m.Charge(int64(mp.n))
		mp.dead = make([]bool, mp.n)
	}
	mp.dead[i] = true
	mp.live--
	v := mp.vals.part(mp.t.Elem.Slots, i, 1)
	clear(v.S)
	clear(v.L)
	clear(v.R)
	delete(mp.byString, k.s)
	delete(mp.byWord, k.n)
	if k.a != nil || keyForm(mp.t.Key) == ir.Refs {
		delete(mp.byAny, k.a)
	}
}

// rebuild closes the gaps.
func (m *Machine) rebuild(mp *Map) {
	old := *mp.entries
	kl, vl := mp.t.Key.Slots, mp.t.Elem.Slots
	m.Charge(int64(mp.live) * (48 + 2*(kl.Bytes()+vl.Bytes())))
	mp.entries = &entries{epoch: old.epoch + 1}
	for i := range old.n {
		if old.gap(i) {
			continue
		}
		key := old.keys.part(kl, i, 1)
		val := old.vals.part(vl, i, 1)
		j := m.slot(mp, &key, 0)
		to := mp.vals.part(vl, j, 1)
		to.set(&val)
	}
}

// empty removes all entries.
func (mp *Map) empty() {
	epoch := 1
	if mp.entries != nil {
		epoch += mp.epoch
	}
	mp.entries = &entries{epoch: epoch}
}

// own copies the host's entries.
func (m *Machine) own(mp *Map) {
	if mp.host == nil {
		return
	}
	host := mp.host
	mp.host = nil
	mp.entries = &entries{}
	m.Charge(256 + 64*int64(len(host)))
	m.Work(len(host))
	for _, k := range slices.Sorted(maps.Keys(host)) {
		key := Array{S: []string{k}}
		i := m.slot(mp, &key, 0)
		mp.vals.R[i] = m.fromHost(host[k])
	}
}

// fromHost turns data of the host into an interface value. Maps are viewed
// until they are changed, lists are copied.
func (m *Machine) fromHost(v any) any {
	switch v := v.(type) {
	case nil, string, bool, int, float64, int64, int32, int16, int8, uint, uint8, uint16, uint32, uint64, float32:
		return v
	case json.Number:
		f, _ := v.Float64()
		return f
	case map[string]any:
		if v == nil {
			return ref{m.program.anyMap, nil}
		}
		m.Charge(32)
		return &Map{t: m.program.anyMap, host: v}
	case []any:
		return view{m.program.anyList, m.hostList(v)}
	case map[string]string:
		out := make(map[string]any, len(v))
		for k, s := range v {
			out[k] = s
		}
		return m.fromHost(out)
	case []string:
		out := View{A: &Array{R: make([]any, len(v))}, Len: int32(len(v)), Cap: int32(len(v))}
		m.Charge(32 * int64(len(v)))
		for i, s := range v {
			out.A.R[i] = s
		}
		return view{m.program.anyList, out}
	}
	panic(&Trap{Kind: Failure, Message: fmt.Sprintf("the host handed over a value of type %T", v)})
}

func (m *Machine) hostList(v []any) View {
	m.Charge(96 + 16*int64(len(v)))
	m.Work(len(v) / 4)
	a := &Array{R: make([]any, len(v))}
	for i, x := range v {
		a.R[i] = m.fromHost(x)
	}
	return View{A: a, Len: int32(len(v)), Cap: int32(len(v))}
}

// lookupString returns a value of a map[string]any-like map.
func (m *Machine) lookupString(mp *Map, k string) any {
	if mp.host != nil {
		switch v := mp.host[k].(type) {
		case nil, string, float64, int, bool, int64:
			return v
		}
		m.own(mp)
	}
	if i := mp.findString(k); i >= 0 {
		return mp.vals.R[i]
	}
	return nil
}

// stringIndexR is m[k] for string keys and values of class Refs.
func (c *fnCompiler) stringIndexR(x *ir.MapIndex) exprR {
	r := c.R(x.X)
	if k, ok := x.K.(*ir.Const); ok {
		key := k.Str
		return func(m *Machine) any {
			if mp, ok := r(m).(*Map); ok {
				return m.lookupString(mp, key)
			}
			return nil
		}
	}
	k := c.S(x.K)
	return func(m *Machine) any {
		mp, _ := r(m).(*Map)
		key := k(m)
		if mp == nil {
			return nil
		}
		return m.lookupString(mp, key)
	}
}

// mapIndexTo compiles m[k] into registers.
func (c *fnCompiler) mapIndexTo(p place, x *ir.MapIndex) exec {
	t := x.X.Type()
	r := c.R(x.X)
	k := uint8(c.alloc(ir.Layout{ir.Refs: 1})[ir.Refs])
	key := c.keyBlock(x.K)
	at, l := p.base, t.Elem.Slots
	okAt := uint8(p.base[0] + l[0])
	pos, elem, commaOK := int32(x.P), t.Elem, x.OK
	return func(m *Machine) ctl {
		m.r[k] = r(m)
		kb := key(m)
		mp, _ := m.r[k].(*Map)
		found := -1
		if mp != nil {
			m.own(mp)
			found = mp.find(m.keyOf(mp.t.Key, &kb, pos))
		} else {
			m.keyOf(t.Key, &kb, pos)
		}
		b := m.block(at, l)
		if found >= 0 {
			v := mp.vals.part(l, found, 1)
			b.set(&v)
			if elem.Arrays {
				m.cloneArrays(elem, &b)
			}
		} else {
			m.zero(elem, &b)
		}
		if commaOK {
			m.n[okAt] = bit(found >= 0)
		}
		return next
	}
}

// keyBlock evaluates a key into temporary registers.
func (c *fnCompiler) keyBlock(x ir.Expr) func(*Machine) Array {
	t := c.newTemp(x.Type())
	fill := c.store(t, x)
	block := t.loadBlock(x.Type().Slots)
	return func(m *Machine) Array {
		fill(m)
		return block(m)
	}
}

// mapSet compiles m[k] = v.
func (c *fnCompiler) mapSet(x *ir.MapIndex, v ir.Expr) exec {
	t := x.X.Type()
	r := c.R(x.X)
	k := uint8(c.alloc(ir.Layout{ir.Refs: 1})[ir.Refs])
	key := c.keyBlock(x.K)
	val := c.newTemp(t.Elem)
	fill := c.store(val, v)
	at, l, pos := val.base, t.Elem.Slots, int32(x.P)
	return func(m *Machine) ctl {
		m.r[k] = r(m)
		kb := key(m)
		fill(m)
		mp, _ := m.r[k].(*Map)
		if mp == nil {
			m.fail(pos, "assignment to entry in nil map")
		}
		i := m.slot(mp, &kb, pos)
		to := mp.vals.part(l, i, 1)
		from := m.block(at, l)
		to.set(&from)
		return next
	}
}

func (c *fnCompiler) makeMap(x *ir.Builtin) exprR {
	t := x.T
	var size exprI
	if len(x.Args) > 0 {
		size = c.I(x.Args[0])
	}
	return func(m *Machine) any {
		if size != nil {
			size(m)
		}
		m.Charge(256)
		return newMap(t)
	}
}

func (c *fnCompiler) mapLit(x *ir.MapLit) exprR {
	t := x.T
	k := uint8(c.alloc(ir.Layout{ir.Refs: 1})[ir.Refs])
	ref := &localRef{Typed: ir.Typed{T: t}, k: k}
	var fill []exec
	for i := range x.Keys {
		c.scoped(func() {
			fill = append(fill, c.mapSet(&ir.MapIndex{Typed: ir.Typed{T: t.Elem, P: x.Keys[i].Pos()}, X: ref, K: x.Keys[i]}, x.Vals[i]))
		})
	}
	return func(m *Machine) any {
		m.Charge(256)
		m.r[k] = newMap(t)
		for _, f := range fill {
			f(m)
		}
		return m.r[k]
	}
}

// deleteCall and clearCall are statements of the language.
func (c *fnCompiler) deleteCall(x *ir.Builtin) exec {
	r, key, pos := c.R(x.Args[0]), c.keyBlock(x.Args[1]), int32(x.P)
	k := uint8(c.alloc(ir.Layout{ir.Refs: 1})[ir.Refs])
	return func(m *Machine) ctl {
		m.r[k] = r(m)
		kb := key(m)
		if mp, ok := m.r[k].(*Map); ok {
			m.remove(mp, &kb, pos)
		}
		return next
	}
}

func (c *fnCompiler) clearCall(x *ir.Builtin) exec {
	if t := x.Args[0].Type(); t.Kind == ir.Slice {
		v, elem := c.L(x.Args[0]), t.Elem
		return func(m *Machine) ctl {
			s := v(m)
			if s.Len > 0 {
				m.Work(int(s.Len) / 16)
				b := s.A.part(elem.Slots, int(s.Off), int(s.Len))
				clear(b.N)
				clear(b.S)
				clear(b.R)
				clear(b.L)
				for i := range int(s.Len) {
					if !elem.Arrays {
						break
					}
					e := b.part(elem.Slots, i, 1)
					m.initArrays(elem, &e)
				}
			}
			return next
		}
	}
	r := c.R(x.Args[0])
	return func(m *Machine) ctl {
		if mp, ok := r(m).(*Map); ok {
			mp.host = nil
			mp.empty()
		}
		return next
	}
}

// A mapCursor goes over the entries that a map has at the start. Entries that
// are deleted meanwhile are left out.
type mapCursor struct {
	mp    *Map
	keys  Array
	n, i  int
	epoch int
}

func (m *Machine) cursor(mp *Map) mapCursor {
	m.own(mp)
	return mapCursor{mp: mp, keys: mp.keys, n: mp.n, epoch: mp.epoch}
}

// next returns the number of the next key in the cursor's keys and of its entry
// in the map, and false at the end.
func (cu *mapCursor) next(m *Machine) (key, at int, ok bool) {
	kl := cu.mp.t.Key.Slots
	for cu.i < cu.n {
		i := cu.i
		cu.i++
		if cu.epoch == cu.mp.epoch {
			if !cu.mp.gap(i) {
				return i, i, true
			}
			continue
		}
		k := cu.keys.part(kl, i, 1)
		if at := cu.mp.find(m.keyOf(cu.mp.t.Key, &k, 0)); at >= 0 {
			return i, at, true
		}
	}
	return 0, 0, false
}
