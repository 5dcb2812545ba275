// Package marked finds processes again by a variable of their environment. Whatever a
// process starts inherits it, in other sessions and process groups too.
package marked

import "crypto/rand"

// New returns a value that nobody has used.
func New() string { return rand.Text() }
