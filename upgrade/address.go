package upgrade

import (
	"net"
	"net/netip"
	"strconv"
	"strings"
)

// sameAddress reports whether asking for address yields a socket that is bound to
// bound, a literal address. Names of hosts are not looked up, but for localhost.
func sameAddress(network, address, bound string) bool {
	if address == bound {
		return true
	}
	if strings.HasPrefix(network, "unix") {
		return false
	}
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return false
	}
	at, err := netip.ParseAddrPort(bound)
	if err != nil || !samePort(network, port, at.Port()) {
		return false
	}
	ip := at.Addr().Unmap()
	switch host {
	case "":
		return ip.IsUnspecified() && (ip.Is4() && !strings.HasSuffix(network, "6") || ip.Is6() && !strings.HasSuffix(network, "4"))
	case "localhost":
		return ip.IsLoopback()
	}
	want, err := netip.ParseAddr(host)
	return err == nil && want.Unmap() == ip
}

// samePort reports whether port, a number or the name of a service, is that number.
func samePort(network, port string, bound uint16) bool {
	if port == strconv.Itoa(int(bound)) {
		return true
	}
	n, err := net.LookupPort(network, port)
	return err == nil && n == int(bound)
}
