package vm

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/theseus-run/theseus/script/godsl/ir"
)

// A Host is what an execution may reach. It is called by the execution's
// goroutine.
type Host interface {
	// Call uses a capability, such as "kv.get", with data as arguments. The
	// rule gets the error as a value; a *Trap ends it.
	Call(ctx context.Context, capability string, args []any) (any, error)

	// Now is the time that the rule sees.
	Now() time.Time

	// Seed begins the random numbers that the rule sees.
	Seed() uint64
}

// errNoHost is what a rule gets that was called without a host.
var errNoHost = errors.New("not available here")

// Now returns the host's time, or the Unix epoch without a host.
func (m *Machine) Now() time.Time {
	if m.host == nil {
		return time.Unix(0, 0)
	}
	return m.host.Now()
}

// Random returns the next number of the execution's own sequence in [0,1).
func (m *Machine) Random() float64 {
	if m.random == nil {
		seed := uint64(0)
		if m.host != nil {
			seed = m.host.Seed()
		}
		m.random = rand.New(rand.NewPCG(seed, 0x9e3779b97f4a7c15))
	}
	return m.random.Float64()
}

// CallHost uses a capability of the host. What it returns is charged.
func (m *Machine) CallHost(capability string, args []any) (any, error) {
	if m.host == nil {
		if strings.HasPrefix(capability, "log.") {
			return nil, nil
		}
		return nil, fmt.Errorf("%s: %w", capability, errNoHost)
	}
	out := Out{M: m, Left: noLimit, Limit: noLimit}
	list := make([]any, len(args))
	for i, a := range args {
		list[i] = out.any(a, 0)
	}
	m.Charge(noLimit - out.Left)
	ctx := m.ctx
	if m.limits.Time > 0 {
		limited, cancel := context.WithDeadline(ctx, m.deadline())
		defer cancel()
		ctx = limited
	}
	v, err := m.host.Call(ctx, capability, list)
	if t, ok := errors.AsType[*Trap](err); ok {
		m.pending = t
		panic(t)
	}
	if err != nil {
		m.poll()
		return nil, err
	}
	m.Charge(sizeOf(v, 0))
	return m.fromHost(v), nil
}

// sizeOf estimates what data of the host occupies.
func sizeOf(v any, depth int) int64 {
	if depth > maxNesting {
		return 1 << 40
	}
	switch v := v.(type) {
	case string:
		return 16 + int64(len(v))
	case []any:
		n := int64(32)
		for _, x := range v {
			n += sizeOf(x, depth+1)
		}
		return n
	case map[string]any:
		n := int64(64)
		for k, x := range v {
			n += 32 + int64(len(k)) + sizeOf(x, depth+1)
		}
		return n
	}
	return 16
}

// BindPointer stores data in the variable that p, an interface value, points to.
func (m *Machine) BindPointer(p any, data any) error {
	v, ok := p.(view)
	if !ok || v.t.Kind != ir.Pointer || v.v.A == nil {
		return errors.New("json: Unmarshal(non-pointer " + m.TypeName(p) + ")")
	}
	b, err := NewBinder(v.t.Elem)
	if err != nil {
		return fmt.Errorf("json: %w", err)
	}
	if v.t.Elem.Kind == ir.Array {
		return errors.New("json: cannot unmarshal into an array")
	}
	to := v.v.A.part(v.t.Elem.Slots, int(v.v.Off), 1)
	if err := b.bind(m, &to, ir.Layout{}, data); err != nil {
		return fmt.Errorf("json: cannot unmarshal: %s", strings.TrimPrefix(err.Error(), "input"))
	}
	return nil
}

// AppendJSON appends an interface value as encoding/json does.
func (m *Machine) AppendJSON(out []byte, v any) ([]byte, error) {
	e := &jsonEncoder{m: m, out: out}
	err := e.any(v, 0)
	return e.out, err
}

type jsonEncoder struct {
	m   *Machine
	out []byte
}

func (e *jsonEncoder) leaf(v any) error {
	text, err := json.Marshal(v)
	e.m.Charge(int64(len(text)) * 2)
	e.out = append(e.out, text...)
	return err
}

func (e *jsonEncoder) any(v any, depth int) error {
	t := e.m.program.typeOf(v)
	if t == nil {
		e.out = append(e.out, "null"...)
		return nil
	}
	b := newArray(t.Slots, 1)
	e.m.unbox(v, b)
	return e.value(t, b, depth)
}

func (e *jsonEncoder) value(t *ir.Type, b *Array, depth int) error {
	e.m.Work(1)
	if depth > maxNesting {
		return fmt.Errorf("json: the value nests deeper than %d levels", maxNesting)
	}
	switch t.Class() {
	case ir.Words:
		return e.word(t, b.N[0])
	case ir.Strings:
		return e.leaf(b.S[0])
	case ir.Views:
		return e.view(t, b.L[0], depth)
	case ir.Refs:
		if t.Kind == ir.Interface {
			return e.any(b.R[0], depth)
		}
		return e.mapping(t, b.R[0], depth)
	}
	e.out = append(e.out, '{')
	begin := len(e.out)
	for i := range t.Fields {
		f := &t.Fields[i]
		name, omit := f.Data, f.OmitEmpty
		in := b.inner(f.At, f.Type.Slots)
		if name == "" || omit && isEmpty(f.Type, &in) {
			continue
		}
		if len(e.out) > begin {
			e.out = append(e.out, ',')
		}
		if err := e.leaf(name); err != nil {
			return err
		}
		e.out = append(e.out, ':')
		if err := e.value(f.Type, &in, depth+1); err != nil {
			return err
		}
	}
	e.out = append(e.out, '}')
	return nil
}

func (e *jsonEncoder) word(t *ir.Type, n uint64) error {
	switch {
	case t.Kind == ir.Bool:
		return e.leaf(n != 0)
	case t.Kind == ir.Float32:
		return e.leaf(float32(math.Float64frombits(n)))
	case t.Kind == ir.Float64:
		return e.leaf(math.Float64frombits(n))
	case t.Unsigned():
		return e.leaf(n)
	}
	return e.leaf(int64(n))
}

func (e *jsonEncoder) view(t *ir.Type, v View, depth int) error {
	switch {
	case t.Kind != ir.Array && v.A == nil:
		e.out = append(e.out, "null"...)
		return nil
	case t.Kind == ir.Pointer && t.Elem.Kind == ir.Array:
		return e.view(t.Elem, v, depth+1)
	case t.Kind == ir.Pointer:
		b := v.A.part(t.Elem.Slots, int(v.Off), 1)
		return e.value(t.Elem, &b, depth+1)
	case t.Kind == ir.Slice && t.Elem.Kind == ir.Uint8:
		return e.leaf([]byte(e.m.bytesToString(v)))
	}
	e.out = append(e.out, '[')
	for i := range int(v.Len) {
		if i > 0 {
			e.out = append(e.out, ',')
		}
		b := v.A.part(t.Elem.Slots, int(v.Off)+i, 1)
		if err := e.value(t.Elem, &b, depth+1); err != nil {
			return err
		}
	}
	e.out = append(e.out, ']')
	return nil
}

func (e *jsonEncoder) mapping(t *ir.Type, r any, depth int) error {
	mp, _ := r.(*Map)
	if mp == nil {
		if t.Kind == ir.Func && r != nil {
			return errors.New("json: unsupported type: " + t.String())
		}
		e.out = append(e.out, "null"...)
		return nil
	}
	if mp.t.Key.Kind != ir.String && !mp.t.Key.Integer() {
		return errors.New("json: unsupported type: " + mp.t.String())
	}
	e.m.own(mp)
	e.out = append(e.out, '{')
	for n, i := range e.m.sortedEntries(mp) {
		if n > 0 {
			e.out = append(e.out, ',')
		}
		k := mp.keys.part(mp.t.Key.Slots, i, 1)
		if mp.t.Key.Kind == ir.String {
			if err := e.leaf(k.S[0]); err != nil {
				return err
			}
		} else {
			e.out = append(e.out, '"')
			if err := e.word(mp.t.Key, k.N[0]); err != nil {
				return err
			}
			e.out = append(e.out, '"')
		}
		e.out = append(e.out, ':')
		v := mp.vals.part(mp.t.Elem.Slots, i, 1)
		if err := e.value(mp.t.Elem, &v, depth+1); err != nil {
			return err
		}
	}
	e.out = append(e.out, '}')
	return nil
}
