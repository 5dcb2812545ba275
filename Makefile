# The two commands to know: `go run ./cmd/theseus demo` and `make test`.

GO          ?= go
STATICCHECK  = $(GO) run honnef.co/go/tools/cmd/staticcheck@v0.8.2
GOVULNCHECK  = $(GO) run golang.org/x/vuln/cmd/govulncheck@v1.9.0
PLATFORMS    = linux/amd64 linux/arm64 darwin/amd64 darwin/arm64 windows/amd64 windows/arm64

# Modules of their own, because of what they need that the rest must not.
MODULES      = bench/upgrade/tableflip examples/upgrade-grpc bench/delta bench/engines

.PHONY: test deps check race full modules model platforms vuln short bench fuzz generate

## test: install what is missing, then check, test and build everything
test: deps check vuln race full modules model platforms

## deps: install what the tests need and the machine lacks
deps:
	@bash scripts/deps

## check: formatting, vet, staticcheck, tidy go.mod
check:
	@bad="$$(git ls-files '*.go' | xargs gofmt -l)"; if [ -n "$$bad" ]; then echo "not formatted with gofmt:"; echo "$$bad"; exit 1; fi
	$(GO) mod tidy -diff
	$(GO) vet ./...
	$(STATICCHECK) ./...

## vuln: known vulnerabilities, where the database can be reached
vuln:
	@bash scripts/vuln $(GOVULNCHECK)

## race: every test under the race detector
race:
	$(GO) test -race -shuffle=on -timeout 20m ./...

## full: what the race detector makes too slow or cannot run, and the demo as a user runs it
full:
	$(GO) test -timeout 20m ./internal/sim ./internal/cli ./internal/demo ./internal/evalunit ./sandbox ./script/js
	$(GO) test -run 'Full$$|^TestStateKilled' -timeout 20m ./app
	$(GO) run ./cmd/theseus demo --fast

## modules: what has a go.mod of its own
modules:
	@for m in $(MODULES); do echo "module $$m"; (cd $$m && $(GO) mod tidy -diff && $(GO) vet ./... && $(GO) test ./...) || exit 1; done

## model: every interleaving of the upgrade protocol, by Spin
model:
	sh docs/model/check.sh

## platforms: the binary builds for every platform without cgo
platforms:
	@for p in $(PLATFORMS); do echo "build $$p"; \
		CGO_ENABLED=0 GOOS=$${p%/*} GOARCH=$${p#*/} $(GO) build -o /dev/null ./... || exit 1; done

## short: the quick tests, for while you work
short:
	$(GO) test -short ./...

## bench: the benchmarks of docs/benchmarks.md
bench:
	$(GO) run ./bench

## fuzz: a minute for each fuzz target
fuzz:
	@bash scripts/fuzz $(FUZZTIME)

## generate: the code made from admin/v1/admin.proto
generate:
	$(GO) generate ./admin/v1
