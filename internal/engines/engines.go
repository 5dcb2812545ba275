// Package engines lists the script engines that the program is built with.
package engines

import (
	"github.com/theseus-run/theseus/script"
	"github.com/theseus-run/theseus/script/js"
	"github.com/theseus-run/theseus/script/workflow"
)

// All returns every engine. A new engine is a package and a line here.
func All() script.Set {
	return script.Set{
		js.New(),
		workflow.New(),
	}
}
