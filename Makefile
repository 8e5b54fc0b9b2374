# make demo   sets up everything and runs the main job: a commit becomes a package that pacman installs
# make test   sets up everything and runs all tests
SHELL := /bin/bash
export CGO_ENABLED ?= 0

VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null)
LDFLAGS := -s -w $(if $(VERSION),-X github.com/caur-build/caur/internal/command.version=$(VERSION))
STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.8.2
ACTIONLINT := github.com/rhysd/actionlint/cmd/actionlint@v1.7.12
GOVULNCHECK := golang.org/x/vuln/cmd/govulncheck@v1.9.0
SBOM := github.com/CycloneDX/cyclonedx-gomod/cmd/cyclonedx-gomod@v1.10.0
TESTFLAGS ?=

# Packages that calculate much and share little: the race detector makes them ten times slower. 'make race' is for all.
CALCULATING := /caur-ci/internal/(cli|review)$$|/internal/(pkgbuild|syncdb|publish)$$|/pkg/srcinfo$$

.PHONY: help build demo test race load lint bench stats dist clean

help: ## list the targets
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 10

build: ## both programs, static, in bin/
	go build -trimpath -ldflags '$(LDFLAGS)' -o bin/ ./cmd/...

demo: ## set up everything, then run the main job end to end
	.ci/setup demo
	$(MAKE) --no-print-directory build
	deploy/demo/run

test: ## set up everything, then run all tests, with the race detector where goroutines meet
	.ci/setup test
	CGO_ENABLED=1 go test -race -timeout 15m $(TESTFLAGS) $$(go list ./... | grep -vE '$(CALCULATING)')
	go test -timeout 15m $(TESTFLAGS) $$(go list ./... | grep -E '$(CALCULATING)')

race: ## all tests with the race detector; takes a good deal longer
	.ci/setup test
	CGO_ENABLED=1 go test -race -timeout 60m $(TESTFLAGS) ./...

load: ## figures under load: followers, requests, hostile connections, a large log in the browser
	.ci/setup test
	go test -tags load -run '^TestLoad' -v -timeout 30m ./cmd/caur-exec/internal/web

lint: ## gofmt, go vet, staticcheck, actionlint, shellcheck, govulncheck
	@bad=$$(gofmt -l $$(git ls-files '*.go')); [ -z "$$bad" ] || { echo "gofmt -w these files:"; echo "$$bad"; exit 1; }
	go vet ./...
	go run $(STATICCHECK) ./...
	go run $(ACTIONLINT) template/files/.github/workflows/*.yml
	shellcheck -x -P SCRIPTDIR template/files/.ci/caur template/files/.ci/check-commits template/files/.ci/hooks/*
	.ci/vulncheck $(GOVULNCHECK)

bench: ## benchmarks, on data of real size
	go test -run '^$$' -bench . -benchmem ./...

stats: ## the size budgets of the code
	.ci/stats

dist: ## a release in dist/: tarballs, source, SBOMs, PKGBUILD, checksums
	.ci/dist '$(VERSION)' $(SBOM)

clean: ## remove what was built here
	rm -rf bin dist .cache artifacts
