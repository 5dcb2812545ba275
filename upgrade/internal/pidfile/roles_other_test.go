//go:build !unix

package pidfile

var roles = map[string]func() error{}
