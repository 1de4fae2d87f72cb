# make check   everything CI runs; installs what the tests need
# make build   the release binary
# make api     docs/api.json and docs/reference.md, from sql/
# make bench   how fast it is: a table, and JSON lines in the file BENCH_JSON; SCENARIOS="a b" runs some, --help explains

CARGO ?= cargo
export CARGO_TERM_COLOR ?= never

.PHONY: build check tools format lint test api bench

build:
	$(CARGO) build --release

check: tools format lint test

tools:
	@tests/tools

format:
	$(CARGO) fmt --check

lint:
	$(CARGO) clippy --all-targets -- -D warnings

# A scratch Postgres for all tests; each test makes its own database or cluster in it.
test:
	$(CARGO) build
	tests/postgres tests/all

api:
	$(CARGO) build
	tests/postgres tests/api

# On a real disk: a flush is what is measured.
bench:
	MESH_TEST_DIR=$${MESH_TEST_DIR:-/var/tmp} tests/postgres $(CARGO) bench --bench delivery -- $(SCENARIOS)
