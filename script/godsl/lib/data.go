package lib

import (
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"hash/crc32"
	"strings"
	"time"
)

// digest makes a native of a hash function over a string.
func digest(f func([]byte) string) any {
	return func(m *machine, s string) string {
		m.Work(len(s) / 32)
		m.Charge(64 + int64(len(s)))
		return f([]byte(s))
	}
}

func dataNatives() map[string]any {
	return map[string]any{
		"crypto/sha256.sum": digest(func(b []byte) string { h := sha256.Sum256(b); return string(h[:]) }),
		"crypto/sha512.sum": digest(func(b []byte) string { h := sha512.Sum512(b); return string(h[:]) }),
		"crypto/sha1.sum":   digest(func(b []byte) string { h := sha1.Sum(b); return string(h[:]) }),
		"crypto/md5.sum":    digest(func(b []byte) string { h := md5.Sum(b); return string(h[:]) }),
		"hash/crc32.checksum": func(m *machine) {
			scan(m, len(m.Str(0)))
			m.Charge(int64(len(m.Str(0))))
			m.SetInt(0, int64(crc32.ChecksumIEEE([]byte(m.Str(0)))))
		},
		"encoding/hex.encode": func(m *machine, s string) string {
			scan(m, len(s))
			m.Charge(3 * int64(len(s)))
			return hex.EncodeToString([]byte(s))
		},
		"encoding/hex.decode": func(m *machine) {
			s := m.Str(2)
			scan(m, len(s))
			m.Charge(int64(len(s)))
			out, err := hex.DecodeString(s)
			setDecoded(m, out, err)
		},
		"encoding/base64.encode": func(m *machine) {
			s := m.Str(1)
			scan(m, len(s))
			m.Charge(3 * int64(len(s)))
			m.SetStr(0, base64Of(m.Int(0)).EncodeToString([]byte(s)))
		},
		"encoding/base64.decode": func(m *machine) {
			s := m.Str(2)
			scan(m, len(s))
			m.Charge(2 * int64(len(s)))
			out, err := base64Of(m.Int(0)).DecodeString(s)
			setDecoded(m, out, err)
		},
		"encoding/json.marshal":   marshal,
		"encoding/json.unmarshal": unmarshal,
		"encoding/json.valid":     func(m *machine, s string) bool { scan(m, len(s)); return json.Valid([]byte(s)) },
	}
}

func base64Of(kind int64) *base64.Encoding {
	return []*base64.Encoding{base64.StdEncoding, base64.URLEncoding, base64.RawStdEncoding, base64.RawURLEncoding}[kind&3]
}

func setDecoded(m *machine, out []byte, err error) {
	m.SetStr(0, string(out))
	m.SetStr(1, "")
	if err != nil {
		m.SetStr(0, "")
		m.SetStr(1, err.Error())
	}
}

func marshal(m *machine) {
	text, err := m.AppendJSON(nil, m.Ref(0))
	m.SetStr(0, string(text))
	m.SetStr(1, "")
	if err != nil {
		m.SetStr(0, "")
		m.SetStr(1, err.Error())
	}
}

func unmarshal(m *machine) {
	text := m.Str(1)
	scan(m, 4*len(text))
	m.Charge(24 * int64(len(text)))
	dec := json.NewDecoder(strings.NewReader(text))
	dec.UseNumber()
	var v any
	err := dec.Decode(&v)
	if err == nil && strings.TrimSpace(text[dec.InputOffset():]) != "" {
		err = json.Unmarshal([]byte(text), &v)
	}
	if err == nil {
		err = m.BindPointer(m.Ref(0), v)
	}
	m.SetStr(0, "")
	if err != nil {
		m.SetStr(0, err.Error())
	}
}

func timeNatives() map[string]any {
	return map[string]any{
		"time.durationString": func(m *machine, d int64) string { m.Charge(32); return time.Duration(d).String() },
		"time.parseDuration": func(m *machine) {
			d, err := time.ParseDuration(m.Str(1))
			m.SetInt(0, int64(d))
			setMessage(m, 0, err)
		},
		"time.format": func(m *machine) {
			layout := m.Str(1)
			m.Charge(8*int64(len(layout)) + 64)
			scan(m, 8*len(layout))
			m.SetStr(0, time.Unix(m.Int(0), m.Int(1)).UTC().Format(layout))
		},
		"time.parse": func(m *machine) {
			m.Charge(256)
			t, err := time.Parse(m.Str(1), m.Str(2))
			m.SetInt(0, t.Unix())
			m.SetInt(1, int64(t.Nanosecond()))
			setMessage(m, 0, err)
		},
		"time.date": func(m *machine) {
			t := time.Unix(m.Int(4), 0).UTC()
			y, mo, d := t.Date()
			m.SetInt(0, int64(y))
			m.SetInt(1, int64(mo))
			m.SetInt(2, int64(d))
			m.SetInt(3, int64(t.YearDay()))
		},
		"time.fromDate": func(m *machine) {
			clamp := func(k int) int { return int(max(-1e9, min(1e9, m.Int(k)))) }
			t := time.Date(clamp(1), time.Month(clamp(2)), clamp(3), clamp(4), clamp(5), clamp(6), 0, time.UTC)
			m.SetInt(0, t.Unix())
		},
	}
}

func setMessage(m *machine, k int, err error) {
	m.SetStr(k, "")
	if err != nil {
		m.SetStr(k, err.Error())
	}
}

const hostPath = "github.com/theseus-run/theseus/script/godsl/host"

func hostNatives() map[string]any {
	return map[string]any{
		hostPath + ".now": func(m *machine) {
			t := m.Now()
			m.SetInt(0, t.Unix())
			m.SetInt(1, int64(t.Nanosecond()))
		},
		hostPath + ".random": func(m *machine) { m.SetFloat(0, m.Random()) },
		hostPath + ".call": func(m *machine) {
			args := m.Anys(m.View(0))
			v, err := m.CallHost(m.Str(1), args)
			m.SetRef(0, v)
			setMessage(m, 0, err)
		},
	}
}
