//go:build !linux && !darwin

package systemd

var roles = map[string]func() error{}
