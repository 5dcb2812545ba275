//go:build unix

package executable

import (
	"bytes"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func TestNotRegular(t *testing.T) {
	t.Parallel()
	dir, err := os.MkdirTemp("", "x") // a socket's path must be short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	pipe, socket, loop := filepath.Join(dir, "pipe"), filepath.Join(dir, "socket"), filepath.Join(dir, "loop")
	if err := syscall.Mkfifo(pipe, 0o777); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if err := os.Symlink(loop, loop); err != nil {
		t.Fatal(err)
	}
	refused(t, Check(pipe), CheckRegular, "a named pipe")
	refused(t, Check(socket), CheckRegular, "a socket")
	refused(t, Check("/dev/null"), CheckRegular, "a device")
	refused(t, Check(loop), CheckUnreadable, "symbolic links")
	link := filepath.Join(dir, "link")
	if err := os.Symlink(native(t), link); err != nil {
		t.Fatal(err)
	}
	if err := Check(link); err != nil {
		t.Errorf("a link to a program: %v", err)
	}
}

func TestMode(t *testing.T) {
	t.Parallel()
	path := fileOf(t, bytesOf(t, native(t), nil), 0o644)
	refused(t, Check(path), CheckMode, "run chmod +x")
	if err := os.Chmod(path, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := Check(path); err != nil {
		t.Error(err)
	}
}

func TestScripts(t *testing.T) {
	t.Parallel()
	script := func(first string) string { return fileOf(t, []byte(first+"\necho hello\n"), 0o755) }
	text := fileOf(t, []byte("no program"), 0o644)
	deep := script("#!/bin/sh")
	for range maxScripts {
		deep = script("#!" + deep)
	}
	for _, c := range []struct{ first, want string }{
		{"#!/bin/sh", ""},
		{"#! /bin/sh -e", ""},
		{"#!/usr/bin/env sh", ""},
		{"#!/usr/bin/env -S sh -e", ""},
		{"#!/nowhere/python", `"/nowhere/python": no such file or directory; install it`},
		{"#!/usr/bin/env no-such-interpreter-anywhere", `"no-such-interpreter-anywhere": executable file not found in $PATH`},
		{"#!/bin", "it is a directory"},
		{"#!" + text, "without a first line"},
		{"#!" + deep, "too many scripts"},
	} {
		path := script(c.first)
		if c.want == "" {
			if err := Check(path); err != nil {
				t.Errorf("%s: %v", c.first, err)
			}
			if out, err := run(t, path); err != nil || out != "hello\n" {
				t.Errorf("%s: %q, %v", c.first, out, err)
			}
			continue
		}
		refused(t, Check(path), CheckInterpreter, c.want)
	}
}

func TestScriptInfo(t *testing.T) {
	t.Parallel()
	i := inspected(t, fileOf(t, []byte("#! /usr/bin/env \t python3 -u \nprint()\n"), 0o755))
	if i.Format != FormatScript || i.Interpreter != "/usr/bin/env" || i.InterpreterArg != "python3 -u" || i.Platform() != "" {
		t.Errorf("%s %q %q %q", i.Format, i.Interpreter, i.InterpreterArg, i.Platform())
	}
	refused(t, i.Runnable("windows", "amd64"), CheckFormat, "a script")
}

// run starts a program, however often another test's child still holds it open
// for writing (golang/go#22315).
func run(t *testing.T, path string) (string, error) {
	t.Helper()
	for {
		out, err := exec.CommandContext(t.Context(), path).CombinedOutput()
		if err == nil || !strings.Contains(err.Error(), syscall.ETXTBSY.Error()) {
			return string(out), err
		}
	}
}

// TestOtherUser asks as a user who may not read or not execute a file.
func TestOtherUser(t *testing.T) {
	t.Parallel()
	dir, err := os.MkdirTemp("", "executable")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	root := os.Getuid() == 0
	ask := func(name string, mode os.FileMode) Kind {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte("#!/bin/sh\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		tester := self
		if root { // the test binary is in a directory of root's
			tester = filepath.Join(dir, "tester")
			if err := os.WriteFile(tester, bytesOf(t, self, nil), 0o755); err != nil {
				t.Fatal(err)
			}
		}
		var out, errOut bytes.Buffer // with -cover the child complains that it may not write its counts
		for {
			out.Reset()
			errOut.Reset()
			cmd := exec.CommandContext(t.Context(), tester)
			cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr = dir, append(os.Environ(), checkVariable+"="+path), &out, &errOut
			if root {
				cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534, NoSetGroups: true}}
			}
			if err := cmd.Run(); err != nil && strings.Contains(err.Error(), syscall.ETXTBSY.Error()) {
				continue
			} else if err != nil {
				t.Fatalf("%v\n%s", err, &errOut)
			}
			return Kind(out.String())
		}
	}
	if got := ask("unreadable", 0o311); root && got != CheckUnreadable {
		t.Errorf("Check of what only root may read: %s", got)
	}
	if got := ask("fine", 0o755); got != "ok" {
		t.Errorf("Check of what all may execute: %s", got)
	}
	if !root {
		if got := ask("locked", 0o011); got != CheckUnreadable {
			t.Errorf("Check of what its owner may not read: %s", got)
		}
	}
	if got := ask("closed", 0o645); !root && got != CheckPermission && mayExecuteAsks {
		t.Errorf("Check of what others may execute, asked by its owner: %s", got)
	}
	if got := ask("root's", 0o754); root && got != CheckPermission && mayExecuteAsks {
		t.Errorf("Check of what only root may execute: %s", got)
	}
}
