//go:build unix && !linux

package executable

const mayExecuteAsks = false
