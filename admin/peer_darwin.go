package admin

import "golang.org/x/sys/unix"

func peerCredentials(fd int) (credentials, error) {
	c, err := unix.GetsockoptXucred(fd, unix.SOL_LOCAL, unix.LOCAL_PEERCRED)
	if err != nil {
		return credentials{}, err
	}
	return credentials{uid: c.Uid}, nil
}
