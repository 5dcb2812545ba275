package admin

import "syscall"

func peerCredentials(fd int) (credentials, error) {
	c, err := syscall.GetsockoptUcred(fd, syscall.SOL_SOCKET, syscall.SO_PEERCRED)
	if err != nil {
		return credentials{}, err
	}
	return credentials{uid: c.Uid}, nil
}
