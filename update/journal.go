package update

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"strconv"
	"time"
)

// A Record is one line of the journal: the machine as it stands from here on, and
// what it takes to make the disk agree with that. The latest record alone says what
// is live; those before it are only there for their files.
//
// # Format
//
// Version 1. The journal is text, one record a line:
//
//	CRC SEQ JSON\n
//
// CRC is the CRC-32C (Castagnoli) of "SEQ JSON" in eight lower-case hexadecimal
// digits. SEQ is a decimal number from 1 that rises by one with each line. JSON is a
// Record in UTF-8 without a line break. A line has at most [MaxRecord] bytes.
//
// Each record names the last one before it that was synced. A line that does not
// check is damage if one at or behind it was synced: see [Journal.Damaged]. Else it
// is a write that a crash has torn, and the journal ends before it, whatever else of
// what was not synced the disk has kept.
type Record struct {
	At      time.Time `json:"at"`
	Synced  uint64    `json:"synced"` // the number of the last record that was synced; 0 for none
	Machine *Machine  `json:"machine"`
	Reports []Report  `json:"reports,omitempty"` // that belong into the history with it
	Files   []File    `json:"files,omitempty"`   // that must exist once it is committed
	Removed []string  `json:"removed,omitempty"` // files that nothing needs once it is committed
	End     bool      `json:"end,omitempty"`     // the process ends here by itself
}

// A File is one that a record brings along: its content need not be synced before
// the record is, because it can be written again from it.
type File struct {
	Name string `json:"name"` // slash-separated, relative to the state's folder
	Data []byte `json:"data"`
	Perm uint32 `json:"perm"` // 0444 or 0644
}

// MaxRecord is the size in bytes of the longest line.
const MaxRecord = 16 << 20

// ErrRecordTooLarge is returned for a record that would exceed MaxRecord.
var ErrRecordTooLarge = errors.New("the record is too large for the journal")

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// AppendRecord appends the line of r to b.
func AppendRecord(b []byte, seq uint64, r Record) ([]byte, error) {
	text, err := json.Marshal(r)
	if err != nil {
		return b, fmt.Errorf("journal: %w", err)
	}
	start := len(b)
	b = append(b, "00000000 "...)
	b = strconv.AppendUint(b, seq, 10)
	b = append(append(b, ' '), text...)
	copy(b[start:], checksum(b[start+9:]))
	b = append(b, '\n')
	if len(b)-start > MaxRecord {
		return b[:start], fmt.Errorf("%w: %d bytes of at most %d", ErrRecordTooLarge, len(b)-start, MaxRecord)
	}
	return b, nil
}

// checksum is that of a line, as it stands before it.
func checksum(text []byte) string { return fmt.Sprintf("%08x", crc32.Checksum(text, castagnoli)) }

// A Journal is what was read of one.
type Journal struct {
	Records []Record
	Seq     uint64   // of the last record; 0 for none
	Size    int64    // bytes up to the end of the last line; what is behind them is torn
	Torn    int64    // bytes behind that
	Damaged []Damage // lines that do not check, in their order
}

// Damage is a stretch of a journal that cannot be trusted.
type Damage struct {
	Offset int64 // bytes from the start
	Length int64 // bytes, with the line break
	Why    string
}

// ReadJournal decodes a journal. Damage is reported in the result; there is no input
// that it refuses. Whoever goes on with a journal cuts it to Size first, and one
// with damage is best set aside.
func ReadJournal(data []byte) Journal {
	lines, synced := split(data)
	var j Journal
	at := int64(0)
	var stale []Damage // repeated lines: damage if the journal goes on behind them, else left by the disk
	for _, l := range lines {
		switch {
		case l.err == nil && j.Seq != 0 && l.seq <= j.Seq:
			stale = append(stale, Damage{at, l.size, fmt.Sprintf("number %d after %d", l.seq, j.Seq)})
			at += l.size
			continue
		case l.err == nil && (j.Seq == 0 || l.seq == j.Seq+1):
		case j.Seq >= synced: // nothing from here on was promised to anybody
			j.Torn = int64(len(data)) - j.Size
			return j
		case l.err != nil:
			j.Damaged = append(j.Damaged, Damage{at, l.size, l.err.Error()})
		case len(j.Damaged) == 0:
			j.Damaged = append(j.Damaged, Damage{at, 0, fmt.Sprintf("%d records are missing before number %d", l.seq-j.Seq-1, l.seq)})
		}
		if l.err == nil {
			j.Seq = l.seq
			j.Records = append(j.Records, l.record)
		}
		j.Damaged = append(j.Damaged, stale...)
		stale = nil
		at += l.size
		j.Size = at
	}
	j.Torn = int64(len(data)) - j.Size
	return j
}

// A line is one of a journal, good or not.
type line struct {
	size   int64 // with the line break
	seq    uint64
	record Record
	err    error
}

// split decodes the lines that have an end, and returns the number of the last
// record that is known to have been synced.
func split(data []byte) (lines []line, synced uint64) {
	for {
		text, rest, ended := bytes.Cut(data, []byte("\n"))
		if !ended {
			return lines, synced
		}
		l := line{size: int64(len(text)) + 1}
		if l.seq, l.record, l.err = parseLine(text); l.err == nil {
			synced = max(synced, l.record.Synced)
		}
		lines = append(lines, l)
		data = rest
	}
}

func parseLine(line []byte) (seq uint64, r Record, err error) {
	if len(line) > MaxRecord {
		return 0, r, ErrRecordTooLarge
	}
	crc, rest, ok := bytes.Cut(line, []byte(" "))
	if !ok || len(crc) != 8 {
		return 0, r, errors.New("it does not begin with a checksum")
	}
	if checksum(rest) != string(crc) {
		return 0, r, errors.New("its checksum is wrong")
	}
	number, text, _ := bytes.Cut(rest, []byte(" "))
	if seq, err = strconv.ParseUint(string(number), 10, 64); err != nil || seq == 0 {
		return 0, r, fmt.Errorf("its number is %q", number)
	}
	if err = json.Unmarshal(text, &r); err != nil {
		return 0, r, err
	}
	if r.Machine == nil {
		return 0, r, errors.New("it has no machine")
	}
	return seq, r, nil
}
