module github.com/theseus-run/theseus/bench/upgrade/tableflip

go 1.26.0

require (
	github.com/cloudflare/tableflip v1.2.3
	github.com/coder/websocket v1.8.15
)
