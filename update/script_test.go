package update

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

var rewrite = flag.Bool("update", false, "write the golden files anew")

// TestScripts plays testdata/scripts: a line is an event, the indented lines below it
// are what comes of it.
func TestScripts(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/scripts/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatal("no scripts", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			t.Parallel()
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			got := play(t, string(text))
			if *rewrite {
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			if got != string(text) {
				t.Errorf("got\n%s\nwant\n%s", got, text)
			}
		})
	}
}

func play(t *testing.T, script string) string {
	m := &Machine{}
	var out strings.Builder
	for line := range strings.Lines(script) {
		if strings.HasPrefix(line, "\t") {
			continue
		}
		out.WriteString(line)
		if strings.HasPrefix(line, "#") || strings.TrimSpace(line) == "" {
			continue
		}
		effects, err := m.Step(parseEvent(t, line))
		if err != nil {
			fmt.Fprintf(&out, "\terror: %v\n", err)
			continue
		}
		var deeds []string
		for _, f := range effects {
			if f.Do == Tell {
				deeds = append(deeds, fmt.Sprintf("tell(%s %d %s)", f.Report.Change, f.Report.Version.Number, f.Report.Outcome))
			} else {
				deeds = append(deeds, string(f.Do))
			}
		}
		s := m.Slot("app")
		fmt.Fprintf(&out, "\t%s; live %d, permanent %d, anchor %d; do: %s\n", m.State(), s.Live.Number, s.Permanent.Number, s.Anchor.Number, strings.Join(deeds, ", "))
	}
	return out.String()
}

// parseEvent reads "name word key=value …".
func parseEvent(t *testing.T, line string) Event {
	fields := strings.Fields(line)
	key := map[string]string{}
	for _, f := range fields[1:] {
		k, v, _ := strings.Cut(f, "=")
		key[k] = v
	}
	at := time.Unix(1, 0).UTC()
	number, _ := strconv.Atoi(key["to"])
	counter, _ := strconv.ParseInt(key["counter"], 10, 64)
	switch fields[0] {
	case "trigger":
		kind := Kind(key["kind"])
		if kind == "" {
			kind = KindApp
		}
		return Trigger{Change{ID: key["id"], Kind: kind, Slot: "app", Source: key["source"], Proven: key["proven"] != "", Force: key["force"] != "", Downgrade: key["downgrade"] != ""}}
	case "begin":
		return Begin{}
	case "prepared":
		return Prepared{To: Version{Number: number, Counter: counter}}
	case "synced":
		return Synced{}
	case "proceed":
		load, _ := strconv.ParseFloat(key["load"], 64)
		return Proceed{Guards: Guards{MaxLoad: 1}, Facts: Facts{Load: load}}
	case "swapped":
		return Swapped{at}
	case "failed":
		return Failed{Why: key["why"], Blame: key["blame"] != "", At: at}
	case "reverted":
		return Reverted{at}
	case "proven":
		return Proven{"app", at}
	case "misbehaved":
		return Misbehaved{"app", key["why"], at}
	case "restart":
		return Restart{Clean: key["clean"] != "", At: at}
	}
	t.Fatalf("no such event: %s", line)
	return nil
}
