package admin_test

import (
	"fmt"
	"os"

	"github.com/theseus-run/theseus/admin"
	"github.com/theseus-run/theseus/app"
)

// What the server shows is an app.
var _ admin.App = (*app.App)(nil)

// A server says where it is; a client of the same user finds it there.
func Example() {
	dir, err := os.MkdirTemp("", "app")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)

	err = admin.WriteDiscovery(dir, admin.Discovery{URL: "http://127.0.0.1:8081", Token: admin.NewToken(), PID: os.Getpid()})
	if err != nil {
		fmt.Println(err)
		return
	}

	found, err := admin.ReadDiscovery(dir)
	if err != nil {
		fmt.Println(err)
		return
	}
	client, err := admin.Dial(found.Target())
	if err != nil {
		fmt.Println(err)
		return
	}
	defer client.Close()
	fmt.Println("calls go to", found.URL)
	// Output: calls go to http://127.0.0.1:8081
}
