package demo

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// install puts a copy of the executable at from to path, the way a deployment
// does: a new file renamed over the old one. With a note at its end, where
// nothing is ever loaded from, it works like the original and is another release:
// releases are told apart by their digest, which is returned in hex.
func install(path, from, note string) (digest string, err error) {
	return replaceFile(path, from, -1, note)
}

// installPart is install of a copy that was cut off: the first part of the bytes.
func installPart(path, from string, part float64) error {
	info, err := os.Stat(from)
	if err != nil {
		return err
	}
	_, err = replaceFile(path, from, int64(part*float64(info.Size())), "")
	return err
}

// replaceFile copies the first size bytes of a file, or all of them for a negative
// size, and a note behind them.
func replaceFile(path, from string, size int64, note string) (digest string, err error) {
	src, err := os.Open(from)
	if err != nil {
		return "", err
	}
	defer src.Close()
	tmp, err := os.OpenFile(filepath.Join(filepath.Dir(path), ".next"), os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o755)
	if err != nil {
		return "", err
	}
	sum := sha256.New()
	to := io.MultiWriter(tmp, sum)
	if size < 0 {
		_, err = io.Copy(to, src)
	} else {
		_, err = io.CopyN(to, src, size)
	}
	if err == nil {
		_, err = io.WriteString(to, note)
	}
	if err = errors.Join(err, tmp.Close()); err == nil {
		err = os.Rename(tmp.Name(), path)
	}
	if err != nil {
		return "", fmt.Errorf("install %s: %w", path, err)
	}
	return hex.EncodeToString(sum.Sum(nil)), nil
}
