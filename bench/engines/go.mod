module github.com/theseus-run/theseus/bench/engines

go 1.26.0

require (
	github.com/dop251/goja v0.0.0-20250630131328-58d95d85e994
	github.com/expr-lang/expr v1.17.8
	github.com/google/cel-go v0.26.0
	github.com/theseus-run/theseus v0.0.0
	github.com/traefik/yaegi v0.16.1
	go.starlark.net v0.0.0-20250906160240-bf296ed553ea
)

require (
	cel.dev/expr v0.24.0 // indirect
	github.com/antlr4-go/antlr/v4 v4.13.0 // indirect
	github.com/dlclark/regexp2 v1.11.4 // indirect
	github.com/go-sourcemap/sourcemap v2.1.3+incompatible // indirect
	github.com/google/pprof v0.0.0-20230207041349-798e818bf904 // indirect
	github.com/stoewer/go-strcase v1.2.0 // indirect
	golang.org/x/exp v0.0.0-20230515195305-f3d0a9c9a5cc // indirect
	golang.org/x/sys v0.49.0 // indirect
	golang.org/x/text v0.43.0 // indirect
	google.golang.org/genproto/googleapis/api v0.0.0-20240826202546-f6391c0de4c7 // indirect
	google.golang.org/genproto/googleapis/rpc v0.0.0-20240826202546-f6391c0de4c7 // indirect
	google.golang.org/protobuf v1.36.12 // indirect
)

replace github.com/theseus-run/theseus => ../..
