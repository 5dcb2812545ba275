package supervisor

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// onThread runs f on a thread that nothing else uses meanwhile.
func onThread(f func() error) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	return f()
}

// execFile makes this process run the program in file, which goes on from the state in
// memory, with exactly the descriptors travel beyond the standard ones. If that
// program cannot, it executes image again; -1 says that this is already the way
// back, taken because of why. It returns only when it fails, and then nothing has
// changed.
func execFile(file, memory, image int, travel []int, why string) error {
	if err := keepFromChildren(); err != nil {
		return err
	}
	env := append(withoutOwn(os.Environ()), fmt.Sprintf("%s=%d:%d", stateVariable, memory, image))
	if image < 0 {
		env = append(env, backVariable+"="+clean(why))
	}
	syscall.ForkLock.Lock() // nothing may start a process between the two
	defer syscall.ForkLock.Unlock()
	err := setCloseOnExec(travel, false)
	if err == nil {
		err = os.NewSyscallError("execve", syscall.Exec(byDescriptor(file), os.Args, env))
	}
	return errors.Join(err, setCloseOnExec(travel, true))
}

// parseSpec reads descriptors separated by colons.
func parseSpec(spec string) ([]int, error) {
	var fds []int
	for field := range strings.SplitSeq(spec, ":") {
		fd, err := strconv.Atoi(field)
		if err != nil || fd < -1 || fd >= 0 && fd < 3 {
			return nil, fmt.Errorf("%q names no descriptors", spec)
		}
		fds = append(fds, fd)
	}
	if len(fds) != 2 {
		return nil, fmt.Errorf("%q does not name two descriptors", spec)
	}
	return fds, nil
}

// rename gives the process the name of its program in ps(1): that of a program
// executed by descriptor is a number.
func rename() {
	_ = os.WriteFile("/proc/self/comm", []byte(filepath.Base(os.Args[0])), 0) // of no consequence
}

// forkUnmasked starts a program with no signal blocked, though this process was
// started with some: its own program is started, which becomes the other one.
func (s *Supervisor) forkUnmasked(path string, argv, env []string, files []uintptr) (*proc, error) {
	env = append(env, shimVariable+"="+path)
	if fd, ok := strings.CutPrefix(path, byDescriptor(0)[:len(byDescriptor(0))-1]); ok {
		// It is close-on-exec, and the shim comes between.
		n, err := strconv.Atoi(fd)
		if err != nil {
			return nil, err
		}
		env[len(env)-1] = shimVariable + "=" + byDescriptor(len(files))
		files = append(files, uintptr(n))
	}
	self, err := unix.Open("/proc/self/exe", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, os.NewSyscallError("open /proc/self/exe", err)
	}
	defer closeFD(self)
	pin, err := duplicate(self, 3+len(files)+int(maxOf(files))+32)
	if err != nil {
		return nil, err
	}
	defer closeFD(pin)
	env = append(env, shimArgs(argv)...)
	return s.procs.start(byDescriptor(pin), os.Args, env, files, 0)
}

func maxOf(fds []uintptr) (most uintptr) {
	for _, fd := range fds {
		most = max(most, fd)
	}
	return most
}

// shimArgs packs the arguments into the environment: those of the shim are this
// program's own, so that it comes to New.
func shimArgs(argv []string) []string {
	var packed []string
	for i, arg := range argv {
		packed = append(packed, fmt.Sprintf("%s_%d=%s", shimVariable, i, arg))
	}
	return packed
}

// shim becomes the program at path.
func shim(path string) error {
	var argv []string
	for i := 0; ; i++ {
		arg, ok := take(fmt.Sprintf("%s_%d", shimVariable, i))
		if !ok {
			break
		}
		argv = append(argv, arg)
	}
	if fd, ok := strings.CutPrefix(path, "/proc/self/fd/"); ok {
		if n, err := strconv.Atoi(fd); err == nil {
			unix.CloseOnExec(n)
		}
	}
	err := onThread(func() error {
		var none uint64
		_, _, _ = syscall.RawSyscall6(syscall.SYS_RT_SIGPROCMASK, unix.SIG_SETMASK, uintptr(unsafe.Pointer(&none)), 0, 8, 0, 0)
		return syscall.Exec(path, argv, os.Environ())
	})
	return fmt.Errorf("start %s: %w", path, execError(err))
}
