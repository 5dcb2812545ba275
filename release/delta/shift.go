package delta

import (
	"encoding/binary"
	"sort"
)

// A move says that what the base has from address from on, up to the next
// move, is by bytes further on in the target.
type move struct {
	from uint64
	by   int64
}

// shifts maps addresses of the base to addresses of the target. It is
// piecewise constant; before its first move nothing moves.
type shifts struct {
	moves []move
	first uint64
	scale uint     // a bucket is 1<<scale addresses
	start []uint32 // the last move at or before each bucket's first address
}

// buckets is how many buckets a map has at most.
const buckets = 1 << 16

func newShifts(moves []move) *shifts {
	s := &shifts{moves: moves}
	if len(moves) == 0 {
		return s
	}
	s.first = moves[0].from
	span := moves[len(moves)-1].from - s.first
	for limit := min(buckets, 4*uint64(len(moves))); span>>s.scale >= limit; {
		s.scale++
	}
	s.start = make([]uint32, span>>s.scale+1)
	m := 0
	for i := range s.start {
		a := s.first + uint64(i)<<s.scale
		for m+1 < len(moves) && moves[m+1].from <= a {
			m++
		}
		s.start[i] = uint32(m)
	}
	return s
}

// to is where address a went.
func (s *shifts) to(a uint64) uint64 {
	if len(s.moves) == 0 || a < s.first {
		return a
	}
	i := int(s.start[min((a-s.first)>>s.scale, uint64(len(s.start)-1))])
	j := len(s.moves)
	if next := (a-s.first)>>s.scale + 1; next < uint64(len(s.start)) {
		j = int(s.start[next]) + 1
	}
	if j-i > 8 {
		i += sort.Search(j-i, func(k int) bool { return s.moves[i+k].from > a }) - 1
		return a + uint64(s.moves[i].by)
	}
	for i+1 < j && s.moves[i+1].from <= a {
		i++
	}
	return a + uint64(s.moves[i].by)
}

// appendMoves writes the map: for each move the distance from the one before
// and by how much it differs from it.
func appendMoves(b []byte, moves []move) []byte {
	var prev move
	for _, m := range moves {
		b = binary.AppendUvarint(b, m.from-prev.from)
		b = binary.AppendVarint(b, m.by-prev.by)
		prev = m
	}
	return b
}

// maxMoves bounds the memory of a map.
const maxMoves = 1 << 18

// readMoves reads what appendMoves wrote.
func readMoves(s *stream) ([]move, error) {
	moves := make([]move, 0, min(s.left/2, maxMoves)) // none takes less than two bytes
	var prev move
	for s.left > 0 {
		from := prev.from + s.uint()
		if from < prev.from || len(moves) > 0 && from == prev.from || len(moves) == maxMoves {
			return nil, corrupt("address map out of order or too long")
		}
		prev = move{from, prev.by + s.int()}
		moves = append(moves, prev)
	}
	return moves, s.end()
}
