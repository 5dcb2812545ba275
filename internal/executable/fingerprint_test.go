package executable

import (
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"
	"time"
)

func TestFingerprintOfRelease(t *testing.T) {
	t.Parallel()
	i := inspected(t, hello(t, runtime.GOOS, runtime.GOARCH, "-ldflags=-s -w -X main.version=v1.4.0"))
	f := i.Fingerprint()
	if f.Version != "v1.4.0" || f.Digest != i.Digest || f.Commit != "" {
		t.Errorf("fingerprint %+v", f)
	}
	if other := inspected(t, native(t)).Fingerprint(); other.Version != "" || other.Digest == f.Digest {
		t.Errorf("fingerprint of another build %+v", other)
	}
}

// TestFingerprintOfCommit builds from a repository.
func TestFingerprintOfCommit(t *testing.T) {
	t.Parallel()
	git, err := exec.LookPath("git")
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal("needs git: scripts/deps installs it")
		}
		t.Skip("needs git")
	}
	dir := t.TempDir()
	do := func(name string, args ...string) {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), name, args...)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_NOSYSTEM=1", "GOFLAGS=", "GOWORK=off", "CGO_ENABLED=0", "GOTOOLCHAIN=local",
			"GIT_AUTHOR_NAME=a", "GIT_AUTHOR_EMAIL=a@example.test", "GIT_COMMITTER_NAME=a", "GIT_COMMITTER_EMAIL=a@example.test",
			"GIT_AUTHOR_DATE=2030-01-02T03:04:05Z", "GIT_COMMITTER_DATE=2030-01-02T03:04:05Z")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", cmd, err, out)
		}
	}
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	write("go.mod", "module example.test/hello\n\ngo 1.26\n")
	write("main.go", "package main\n\nfunc main() {}\n")
	do(git, "init", "-q")
	do(git, "add", ".")
	do(git, "commit", "-q", "-m", "hello")
	write("main.go", "package main\n\nfunc main() { println() }\n")
	do("go", "build", "-buildvcs=true", "-o", "hello", ".")
	i := inspected(t, filepath.Join(dir, "hello"))
	f := i.Fingerprint()
	if len(f.Commit) != 40 || !f.Modified || !f.Time.Equal(time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)) || i.Build.VCS != "git" || f.Version == "" {
		t.Errorf("fingerprint %+v, build %+v", f, i.Build)
	}
}

func TestFingerprintString(t *testing.T) {
	t.Parallel()
	digest := "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
	for want, f := range map[string]Fingerprint{
		"v1.4.0 fedcba987654+ sha256:0123456789ab": {Digest: digest, Version: "v1.4.0", Commit: "fedcba9876543210", Modified: true},
		"abc sha256:0123456789ab":                  {Digest: digest, Commit: "abc"},
		"sha256:":                                  {},
	} {
		if got := f.String(); got != want {
			t.Errorf("%+v.String() = %q, want %q", f, got, want)
		}
	}
}

func TestLinkerVersion(t *testing.T) {
	t.Parallel()
	for flags, want := range map[string]string{
		"-s -w":                                "",
		"-X main.version=1.2.3":                "1.2.3",
		"-X=main.version=1.2.3 -s":             "1.2.3",
		"-X 'main.version=1.2.3'":              "1.2.3",
		`"-X=main.Version=1.2.3"`:              "1.2.3",
		"-X main.version=1 -X main.version=2":  "2",
		"-X example.test/domain.version=1.2.3": "",
	} {
		if got := linkerValue(flags, "main.version", "main.Version"); got != want {
			t.Errorf("linkerValue(%q) = %q, want %q", flags, got, want)
		}
	}
}
