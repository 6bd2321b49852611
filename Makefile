GO ?= go
GOFUMPT     = mvdan.cc/gofumpt@v0.12.0
STATICCHECK = honnef.co/go/tools/cmd/staticcheck@v0.8.2
FUZZTIME ?= 10s

.DEFAULT_GOAL := help

.PHONY: help
help: ## show what can be made
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-8s %s\n", $$1, $$2}'

.PHONY: build
build: ## build bin/logdrive
	$(GO) build -trimpath -o bin/logdrive ./cmd/logdrive

.PHONY: demo
demo: build ## ship log files of this machine into an archive, show it, and compare byte for byte
	$(GO) run ./cmd/bench demo --binary bin/logdrive

.PHONY: test
test: ## run the tests (GOFLAGS=-race and ARGS=-short work as usual)
	$(GO) test $(ARGS) ./...

.PHONY: torture
torture: ## all rotation scenarios at full length
	LOGDRIVE_TORTURE=full $(GO) test -count=1 -timeout 2h -run Torture ./shipper/tail ./cmd/e2e

.PHONY: chaos
chaos: ## kills, cuts, full disks, lost hub nodes at full length (LOGDRIVE_SEED=n replays)
	LOGDRIVE_CHAOS=full $(GO) test -count=1 -timeout 4h -run 'Chaos|ThreeNodesFound' ./cmd/e2e ./receiver ./cluster

.PHONY: bench
bench: ## the table of figures: catch-up, steady load, idle files
	$(GO) run ./cmd/bench run

# The fuzzer fails with "context deadline exceeded" when its time ends during an input. An input that it has found fails the second time, too: it is kept in testdata.
.PHONY: fuzz
fuzz: ## every fuzz target for FUZZTIME (10s)
	@set -e; for pkg in $$($(GO) list ./...); do \
	  dir=$$($(GO) list -f '{{.Dir}}' $$pkg); \
	  for target in $$(grep -hoE '^func Fuzz[A-Za-z0-9_]*' $$dir/*_test.go 2>/dev/null | sed 's/^func //'); do \
	    echo "$$pkg $$target"; \
	    run="$(GO) test -run ^$$ -fuzz ^$$target$$ -fuzztime $(FUZZTIME) $$pkg"; $$run || $$run; \
	  done; \
	done

.PHONY: lint
lint: ## vet, gofumpt and staticcheck
	$(GO) vet ./...
	@out=$$($(GO) run $(GOFUMPT) -l .); test -z "$$out" || { echo "not formatted by gofumpt:"; echo "$$out"; exit 1; }
	$(GO) run $(STATICCHECK) ./...
	GOOS=darwin $(GO) vet ./shipper/... ./cmd/logdrive
