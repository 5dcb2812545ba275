package app

import (
	"crypto/sha256"
	"encoding/hex"
	"path"
	"strings"
	"time"

	"github.com/theseus-run/theseus/app/manifest"
	"github.com/theseus-run/theseus/internal/expr"
	"github.com/theseus-run/theseus/internal/schema"
	"github.com/theseus-run/theseus/internal/yamldoc"
	"github.com/theseus-run/theseus/script"
)

// configuration is what scripts see as `config`: config/NAME.yaml is config.NAME.
type configuration struct {
	value  script.Value // an object, as JSON
	digest string
}

// loadConfig reads config/*.yaml, fills in the environment and checks each
// against its NAME.schema.json.
func (b *builder) loadConfig() configuration {
	all := map[string]any{}
	for _, f := range b.tree.Files() {
		name, ok := strings.CutPrefix(f.Path, "config/")
		ext := path.Ext(name)
		if !ok || strings.Contains(name, "/") || ext != ".yaml" && ext != ".yml" {
			continue
		}
		doc, err := yamldoc.Parse(f.Path, f.Data)
		if err == nil {
			err = doc.Substitute(b.env, yamldoc.ReadFile)
		}
		if err == nil {
			err = b.checkConfig(strings.TrimSuffix(f.Path, ext)+".schema.json", doc)
		}
		if err != nil {
			b.problem("config", err)
			continue
		}
		all[strings.TrimSuffix(name, ext)] = doc.Any()
	}
	text, err := script.Of(all).Text()
	if err != nil {
		b.problem("config", err)
		return configuration{}
	}
	sum := sha256.Sum256(text)
	return configuration{value: script.JSON(text), digest: hex.EncodeToString(sum[:])}
}

// checkConfig validates doc against the schema file, if there is one.
func (b *builder) checkConfig(name string, doc *yamldoc.Doc) error {
	f, ok := b.tree.File(name)
	if !ok {
		return nil
	}
	s, err := schema.Compile(name, f.Data)
	if err != nil {
		return err
	}
	return s.Validate(doc)
}

// loadTests reads tests/*.yaml in order.
func (b *builder) loadTests() []testFile {
	var files []testFile
	for _, f := range b.tree.Files() {
		if !strings.HasPrefix(f.Path, "tests/") || path.Ext(f.Path) != ".yaml" && path.Ext(f.Path) != ".yml" {
			continue
		}
		tests, err := manifest.ParseTests(f.Path, f.Data)
		if err != nil {
			b.problem("test", err)
			continue
		}
		files = append(files, testFile{name: f.Path, tests: tests})
	}
	return files
}

// limitsOf takes the manifest's limits; missing ones have their defaults.
func limitsOf(m *manifest.Manifest) limits {
	l := m.Limits
	return limits{
		script: script.Limits{Time: l.Time.Std(), Memory: l.Memory.Bytes(), Depth: l.Depth, Output: l.Output.Bytes()}.WithDefaults(),
		body:   l.Body.Bytes(),
		maxPin: time.Duration(l.MaxPin),
	}
}

// compileRule compiles a route's "when".
func compileRule(src string) (*expr.Program, error) { return expr.CompileCondition(src, ruleOptions) }
