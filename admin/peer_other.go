//go:build !linux && !darwin

package admin

import "errors"

func peerCredentials(int) (credentials, error) { return credentials{}, errors.ErrUnsupported }
