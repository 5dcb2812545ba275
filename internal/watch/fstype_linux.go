package watch

import (
	"path/filepath"
	"syscall"
)

// networkFS returns the name of the file system that dir lies on when it does not
// report changes made by others, such as the host of a virtual machine; else "".
// For a dir that is missing the nearest folder above it counts.
func networkFS(dir string) string {
	var st syscall.Statfs_t
	for syscall.Statfs(dir, &st) != nil {
		up := filepath.Dir(dir)
		if up == dir {
			return ""
		}
		dir = up
	}
	// The magic numbers of statfs(2), and of modules outside the kernel.
	switch uint32(st.Type) {
	case 0x6969:
		return "nfs"
	case 0x01021997:
		return "9p"
	case 0x65735546: // also virtiofs
		return "fuse"
	case 0x786f4256:
		return "vboxsf"
	case 0x517b, 0xff534d42, 0xfe534d42:
		return "smb"
	case 0xbacbacbc:
		return "vmhgfs"
	case 0x7c7c6673:
		return "prl_fs"
	case 0x5346414f:
		return "afs"
	case 0x00c36400:
		return "ceph"
	}
	return ""
}
