# Two commands do everything on a fresh Debian 12 machine: `make serve` and `make test`.
# See CONTRIBUTING.md for the rest.

PORT := 8787
BUILD := build/release
export PATH := $(CURDIR)/node_modules/.bin:$(PATH)

# ThreadSanitizer of Debian 12 cannot start under the address randomisation of newer kernels.
WITHOUT_ASLR := $(shell setarch -R true 2>/dev/null && echo setarch -R)
SOURCES = git ls-files -z '*.h' '*.cc'

.PHONY: all system setup build serve test conformance sanitize bench format check-format clean

all: build

system:
	@scripts/setup-debian

node_modules/.package-lock.json: package.json package-lock.json | system
	npm ci --ignore-scripts --no-audit --no-fund
	@touch $@

setup: system node_modules/.package-lock.json

# Node.js, Deno and Bun for the tests. Not in node_modules: their commands would shadow the user's own.
tests/runtimes/node_modules/.package-lock.json: tests/runtimes/package.json tests/runtimes/package-lock.json | system
	npm ci --prefix tests/runtimes --ignore-scripts --no-bin-links --no-audit --no-fund
	@touch $@

build: setup
	@mkdir -p build
	@cmake --preset release >build/configure.log 2>&1 || { cat build/configure.log; exit 1; }
	@cmake --build --preset release
	@npm run --silent build

serve: build
	@exec bin/perdure serve examples/counter --port $(PORT)

test: build tests/runtimes/node_modules/.package-lock.json
	npm run --silent check
	ctest --test-dir $(BUILD) --output-on-failure
	node --test tests/*.test.mjs tests/runtime/*.test.mjs tests/operate/*.test.mjs

conformance: build
	node conformance/run.mjs

sanitize: setup
	cmake --preset asan && cmake --build --preset asan
	ctest --test-dir build/asan --output-on-failure
	cmake --preset tsan && $(WITHOUT_ASLR) cmake --build --preset tsan
	$(WITHOUT_ASLR) ctest --test-dir build/tsan --output-on-failure

bench: build
	@for binary in $(BUILD)/*_bench; do $$binary || exit 1; done
	node bench/vs-workerd.mjs
	node bench/list.mjs
	node bench/memory-limit.mjs
	node bench/restore.mjs

format:
	$(SOURCES) | xargs -0r clang-format -i

check-format:
	$(SOURCES) | xargs -0r clang-format --dry-run -Werror

clean:
	rm -rf build js/dist
