package pidfile

var roles = map[string]func() error{"killed": killed, "unwritable": unwritable, "full": fullDisk}
