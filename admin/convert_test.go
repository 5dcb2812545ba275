package admin

import (
	"fmt"
	"math"
	"reflect"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/theseus-run/theseus/app"
)

// fill sets every field of v to a value of its own, so that one that is not
// carried over, or is swapped with another, shows.
func fill(v reflect.Value, n *int64) {
	*n++
	switch v.Kind() {
	case reflect.String:
		v.SetString(fmt.Sprint("s", *n))
	case reflect.Int, reflect.Int64:
		v.SetInt(*n)
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem(), n)
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		fill(v.Index(0), n)
		fill(v.Index(1), n)
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[time.Time]() {
			v.Set(reflect.ValueOf(time.Unix(*n, *n).Local()))
			return
		}
		for i := range v.NumField() {
			fill(v.Field(i), n)
		}
	case reflect.Interface:
		v.Set(reflect.ValueOf(fmt.Sprint("any", *n)))
	default:
		panic(fmt.Sprintf("fill: %v is new here: teach it, and carry it over", v.Type()))
	}
}

// roundTrip checks that every field of T survives being sent, and that an empty
// T and a nil message stay empty.
func roundTrip[T any, M proto.Message](t *testing.T, to func(T) M, from func(M) T) {
	t.Helper()
	var in T
	name := reflect.TypeFor[T]().String()
	t.Run(name, func(t *testing.T) {
		if got := send(t, to, from, in); !reflect.DeepEqual(got, in) {
			t.Errorf("empty = %+v", got)
		}
		var none M
		if got := from(none); !reflect.DeepEqual(got, in) {
			t.Errorf("nil = %+v", got)
		}
		var n int64
		fill(reflect.ValueOf(&in).Elem(), &n)
		if got := send(t, to, from, in); !reflect.DeepEqual(got, in) {
			t.Errorf("got  %+v\nwant %+v", got, in)
		}
	})
}

func send[T any, M proto.Message](t *testing.T, to func(T) M, from func(M) T, in T) T {
	t.Helper()
	b, err := proto.Marshal(to(in))
	if err != nil {
		t.Fatal(err)
	}
	m := to(in).ProtoReflect().New().Interface().(M)
	if err := proto.Unmarshal(b, m); err != nil {
		t.Fatal(err)
	}
	return from(m)
}

// Nothing that the app says is lost on the way; a field that is added to a type
// of the app and not to the schema fails here.
func TestRoundTrip(t *testing.T) {
	roundTrip(t, statusProto, StatusFrom)
	roundTrip(t, generationProto, GenerationFrom)
	roundTrip(t, changeProto, ChangeFrom)
	roundTrip(t, unitProto, UnitFrom)
	roundTrip(t, jobProto, JobFrom)
	roundTrip(t, runProto, RunFrom)
	roundTrip(t, updateProto, UpdateFrom)
	roundTrip(t, planProto, PlanFrom)
	roundTrip(t, eventProto, EventFrom)
	roundTrip(t, detailProto, DetailFrom)
}

func TestOddValues(t *testing.T) {
	if got := i32(math.MaxInt); got != math.MaxInt32 {
		t.Errorf("i32(max) = %d", got)
	}
	if m := unitProto(app.UnitInfo{Name: "\xff", Files: []string{"\xfe"}}); m.Name != "\uFFFD" || m.Files[0] != "\uFFFD" {
		t.Errorf("unit = %v", m)
	}
	if EventFrom(eventProto(app.Event{Data: app.Stats{HeapBytes: 1 << 40}})).Data.(map[string]any)["heap_bytes"] != float64(1<<40) {
		t.Error("stats lost their numbers")
	}
}
