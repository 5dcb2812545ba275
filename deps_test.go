package theseus_test

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/theseus-run/theseus"

// edges says which packages of this module each package may import; what is
// not listed may import none. "*" allows all. The table is the one of
// ARCHITECTURE.md: change both.
var edges = map[string][]string{
	".":                       {"app", "internal/engines", "upgrade"},
	"admin":                   {"admin/v1", "admin/v1/adminv1connect", "app"},
	"admin/v1/adminv1connect": {"admin/v1"},
	"app": {"app/manifest", "script", "script/workflow", "internal/codeframe", "internal/executable", "internal/expr", "internal/kv", "internal/migrate", "internal/schedule",
		"internal/schema", "internal/spell", "internal/store", "internal/topic", "internal/tree", "internal/watch", "internal/yamldoc", "update"},
	"app/manifest":          {"script", "internal/codeframe", "internal/schedule", "internal/schema", "internal/spell", "internal/yamldoc"},
	"bench":                 {"*"},
	"bench/upgrade":         {"*"},
	"bench/upgrade/broken":  {"upgrade", "upgrade/stream", "upgrade/supervisor"},
	"examples/upgrade":      {"upgrade", "upgrade/stream"},
	"cmd/theseus":           {"internal/cli"},
	"deploy":                {"app/manifest"},
	"internal/cli":          {"*"},
	"internal/demo":         {"admin", "admin/v1", "app", "examples", "internal/instance", "internal/load"},
	"internal/engines":      {"script", "script/js", "script/workflow"},
	"internal/evalunit":     {"sandbox", "script"},
	"internal/expr":         {"script", "internal/spell"},
	"internal/hooks":        {"sandbox", "script", "update", "internal/marked", "internal/yamldoc"},
	"internal/instance":     {"admin", "admin/console", "app", "app/manifest", "internal/engines", "observe", "script/workflow", "upgrade"},
	"internal/schema":       {"script", "internal/yamldoc"},
	"internal/disk/simdisk": {"internal/disk"},
	"internal/kv":           {"internal/disk"},
	"internal/migrate":      {"internal/kv"},
	"internal/store":        {"internal/disk", "internal/executable", "internal/tree", "update"},
	"update":                {"internal/disk"},
	"internal/watch":        {"internal/tree"},
	"internal/yamldoc":      {"script", "internal/spell"},
	"observe":               {"app", "script"},
	"script":                {"internal/codeframe"},
	"upgrade":               {"internal/executable", "internal/marked", "upgrade/internal/beat", "upgrade/internal/pidfile", "upgrade/internal/systemd", "upgrade/internal/wire"},
	"upgrade/supervisor":    {"internal/executable", "upgrade/internal/beat", "upgrade/internal/pidfile", "upgrade/internal/systemd", "upgrade/internal/wire"},
	"script/godsl":          {"script", "internal/codeframe", "script/godsl/allow", "script/godsl/check", "script/godsl/ir", "script/godsl/lib", "script/godsl/vm"},
	"script/godsl/check":    {"script/godsl/ir"},
	"script/godsl/lib":      {"script/godsl/check", "script/godsl/ir", "script/godsl/vm"},
	"script/godsl/vm":       {"script/godsl/ir"},
	"script/js":             {"script"},
	"script/workflow":       {"script", "internal/expr", "internal/schema", "internal/yamldoc"},
}

// keptOut names modules that must not come along with a package, however
// indirectly: who imports the library does not pay for the program.
var keptOut = map[string][]string{
	".":                  {"github.com/spf13/cobra", "github.com/prometheus", "connectrpc.com", "google.golang.org", "github.com/chromedp"},
	"app":                {"github.com/spf13/cobra", "github.com/prometheus", "connectrpc.com", "google.golang.org", "modernc.org"},
	"script":             {"github.com/", "modernc.org", "golang.org/x"},
	"upgrade/supervisor": {"github.com/", "google.golang.org", "modernc.org", "golang.org/x/net", "golang.org/x/text"},
	"script/js":          {"github.com/goccy", "github.com/expr-lang"},
	"sandbox":            {"github.com/"},
	"upgrade":            {"github.com/", "google.golang.org", "modernc.org", "golang.org/x/net", "golang.org/x/text"},
	"upgrade/stream":     {"github.com/", "google.golang.org", "modernc.org", "golang.org/x/sys"},
	"observe":            {"github.com/spf13/cobra", "connectrpc.com"},
}

type pkg struct {
	ImportPath string
	Doc        string
	Imports    []string
	Deps       []string
	GoFiles    []string
}

func packages(t *testing.T) map[string]pkg {
	t.Helper()
	out, err := exec.Command("go", "list", "-json=ImportPath,Doc,Imports,Deps,GoFiles", "./...").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	all := map[string]pkg{}
	dec := json.NewDecoder(strings.NewReader(string(out)))
	for {
		var p pkg
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			return all
		} else if err != nil {
			t.Fatal(err)
		}
		all[local(p.ImportPath)] = p
	}
}

// local is a package's path inside the module, "." for the root.
func local(path string) string {
	if path == module {
		return "."
	}
	return strings.TrimPrefix(path, module+"/")
}

func ours(path string) bool { return path == module || strings.HasPrefix(path, module+"/") }

func TestImportEdges(t *testing.T) {
	all := packages(t)
	if len(all) < 20 {
		t.Fatalf("go list found %d packages", len(all))
	}
	for name, p := range all {
		allowed := edges[name]
		if slices.Contains(allowed, "*") {
			continue
		}
		for _, i := range p.Imports {
			if ours(i) && !slices.Contains(allowed, local(i)) {
				t.Errorf("%s must not import %s: see the rooms in ARCHITECTURE.md", name, local(i))
			}
		}
	}
	for name := range edges {
		if _, ok := all[name]; !ok {
			t.Errorf("the table names %s, which does not exist", name)
		}
	}
}

func TestDependenciesKeptOut(t *testing.T) {
	all := packages(t)
	for name, out := range keptOut {
		for _, dep := range all[name].Deps {
			if ours(dep) {
				continue
			}
			for _, prefix := range out {
				if strings.HasPrefix(dep, prefix) {
					t.Errorf("%s drags in %s", name, dep)
				}
			}
		}
	}
}

func TestPackageDocs(t *testing.T) {
	for name, p := range packages(t) {
		if len(p.GoFiles) > 0 && p.Doc == "" && name != "admin/v1/adminv1connect" { // generated
			t.Errorf("%s has no package comment", name)
		}
	}
}
