//go:build !linux && !darwin

package beat

var roles = map[string]func() error{}
