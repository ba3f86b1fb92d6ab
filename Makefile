# Two commands do everything on a fresh Debian 12 machine: `make serve` and `make test`.
# See CONTRIBUTING.md for the rest.

BUILD := build/release
export PATH := $(CURDIR)/node_modules/.bin:$(PATH)

.PHONY: all setup build serve test sanitize bench format clean

all: build

setup: node_modules/.package-lock.json
	@scripts/setup-debian

node_modules/.package-lock.json: package.json package-lock.json
	npm ci --ignore-scripts --no-audit --no-fund
	@touch $@

build: setup
	cmake --preset release -DCMAKE_INSTALL_MESSAGE=LAZY >build/configure.log 2>&1 || { cat build/configure.log; exit 1; }
	cmake --build --preset release
	npm run --silent build
